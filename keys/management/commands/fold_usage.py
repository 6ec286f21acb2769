"""`manage.py fold_usage`: add what this host's journals hold to the tables."""

from django.core.management.base import BaseCommand

from keys import folding


class Command(BaseCommand):
    """Folds once, by hand."""

    help = (
        "Add the uses in this host's journals to the tables, once. Running workers do that "
        "twice a second; call it when none will run on this host any more."
    )

    def handle(self, *args, **options) -> None:
        added = folding.fold_once(wait=True)
        self.stdout.write(f"{added} uses were added.")
