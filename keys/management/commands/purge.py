"""`manage.py purge`: delete what is kept for a while only."""

from django.core.management.base import BaseCommand
from django.utils import timezone

from keys import usage


class Command(BaseCommand):
    """Deletes old decisions and counts by the minute."""

    help = (
        "Delete decisions and counts by the minute that are past the time for which they are "
        "kept. Run it daily. It may run at any time and take long; keys are judged meanwhile."
    )

    def handle(self, *args, **options) -> None:
        for model, count in usage.purge(now=timezone.now()).items():
            self.stdout.write(f"{count} × {model._meta.verbose_name}")
