from django.db import migrations, models

from keys.schema import AddIndexMeanwhile


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("keys", "0009_imported_secrets"),
    ]

    operations = [
        AddIndexMeanwhile(
            model_name="apikey",
            index=models.Index(fields=["organization", "dialect", "-id"], name="apikey_by_dialect"),
        ),
    ]
