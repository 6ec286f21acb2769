"""What the database says in the end: `python -m tests.faults.books`, as JSON.

Uses that a host left are added first, as its operator would do.
"""

import io
import json
import sys


def main() -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db.models import Sum

    from keys.audit_checks import check_all
    from keys.models import APIKey, AuditEvent, Message, UsageBucket, WebhookDelivery

    call_command("fold_usage", stdout=io.StringIO())
    check_all()
    uses: dict[int, dict[str, int]] = {}
    rows = UsageBucket.objects.order_by().values_list("key", "outcome")
    for key, outcome, requests in rows.annotate(sum=Sum("requests")):
        uses.setdefault(key, {})[outcome] = requests
    keys = APIKey.objects.values_list("pk", "disabled", "revoked_at", "totals__cost")
    events = AuditEvent.objects.filter(object_type="apikey").values_list("object_id", "action")
    told = {
        "uses": uses,
        "keys": {
            pk: ["revoked" if revoked else "disabled" if disabled else "works", float(cost)]
            for pk, disabled, revoked, cost in keys
        },
        "events": sorted({f"{action} {number}" for number, action in events}),
        "broken": _broken(),
        "waiting": Message.objects.exclude(next_at=None).count(),
        "given up": Message.objects.filter(next_at=None, sent_at=None).exclude(error="").count(),
        "undelivered": WebhookDelivery.objects.exclude(state="delivered").count(),
        "deliveries": list(WebhookDelivery.objects.values_list("message_id", flat=True)),
    }
    sys.stdout.write(json.dumps(told) + "\n")


def _broken() -> list[str]:
    from keys.models import AuditHead

    return list(AuditHead.objects.exclude(problem="").values_list("problem", flat=True))


if __name__ == "__main__":
    main()
