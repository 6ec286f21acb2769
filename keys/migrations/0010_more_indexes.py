from django.db import migrations, models

from keys.schema import AddIndexMeanwhile


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("keys", "0009_imported_secrets"),
    ]

    operations = [
        AddIndexMeanwhile(
            model_name="keyusage",
            index=models.Index(
                condition=models.Q(("period_cost__gte", models.F("limit"))),
                fields=["-key"],
                name="usage_spent",
            ),
        ),
        AddIndexMeanwhile(
            model_name="apikey",
            index=models.Index(
                condition=models.Q(("not_before__isnull", False), ("revoked_at", None)),
                fields=["organization", "-id"],
                name="apikey_pending",
            ),
        ),
        AddIndexMeanwhile(
            model_name="apikey",
            index=models.Index(
                condition=models.Q(("assign_server_ips", True), ("revoked_at", None)),
                fields=["organization", "-id"],
                name="apikey_of_servers",
            ),
        ),
        AddIndexMeanwhile(
            model_name="apikey",
            index=models.Index(
                condition=models.Q(("revoked_at", None), ("role__isnull", False)),
                fields=["organization", "role", "-id"],
                name="apikey_by_role",
            ),
        ),
        AddIndexMeanwhile(
            model_name="apikey",
            index=models.Index(fields=["organization", "dialect", "-id"], name="apikey_by_dialect"),
        ),
    ]
