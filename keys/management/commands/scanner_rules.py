"""`manage.py scanner_rules`: rules by which scanners know this installation's keys."""

from django.core.management.base import BaseCommand, CommandParser

from keys.scanner_rules import SCANNERS


class Command(BaseCommand):
    """Prints the rules for one scanner."""

    help = (
        "Print rules by which a scanner for leaked secrets finds this installation's keys: "
        "a configuration of gitleaks or trufflehog, or a plugin of detect-secrets."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=sorted(SCANNERS), required=True)

    def handle(self, *args, **options) -> None:
        _name, write = SCANNERS[options["format"]]
        self.stdout.write(write(), ending="")
