"""`manage.py purge`: delete what is kept for a while only."""

from django.core.management.base import BaseCommand
from django.utils import timezone

from keys import audit_retention, decisions
from keys.models import AuditEvent


class Command(BaseCommand):
    """Deletes old decisions and counts by the minute, and audit events where that is the policy."""

    help = (
        "Delete decisions, counts by the minute and audit events that are past the time for "
        "which they are kept. Run it daily. It may run at any time and take long; keys are "
        "judged meanwhile."
    )

    def handle(self, *args, **options) -> None:
        now = timezone.now()
        for model, count in decisions.purge(now=now).items():
            self.stdout.write(f"{count} × {model._meta.verbose_name}")
        events = sum(audit_retention.remove_old(now=now).values())
        self.stdout.write(f"{events} × {AuditEvent._meta.verbose_name}")
