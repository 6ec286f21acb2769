"""`manage.py forget_snapshots`: let all workers read again what they remember of keys."""

from django.core.management.base import BaseCommand
from django.db import connection, transaction

from keys import generations


class Command(BaseCommand):
    """Tells every worker, of every host, that anything may have changed."""

    help = (
        "Let every worker read keys from the database again. Call it after the database was "
        "restored, or changed by hand: what the portal itself changes is noticed at once."
    )

    def handle(self, *args, **options) -> None:
        with transaction.atomic():
            if generations.announce is not None:
                generations.announce(connection, ["*"])
        generations.forget_everything()
        self.stdout.write("Every worker reads keys anew.")
