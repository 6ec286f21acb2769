"""`manage.py permission_matrix`: who may do what in an organization, for auditors."""

import csv
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from keys import matrix
from keys.models import Organization


class Command(BaseCommand):
    """Prints the table that the page "Who may do what" shows."""

    help = "Print what each role of an organization may do, how far and where, as CSV or JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", metavar="SLUG", required=True, help="of this one")
        parser.add_argument("--format", choices=["csv", "json"], default="csv")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = Organization.objects.filter(slug=options["organization"]).first()
        if organization is None:
            raise CommandError(f"There is no organization {options['organization']!r}.")
        table = matrix.of(organization)
        rows = [
            (row.permission.codename, " ".join(row.doors), *(cell or "" for cell in row.cells))
            for row in table.rows
        ]
        names = ("permission", "doors", *table.columns)
        if options["format"] == "json":
            named = [dict(zip(names, row, strict=True)) for row in rows]
            self.stdout.write(json.dumps(named, indent=2))
            return
        writer = csv.writer(self.stdout, lineterminator="\n")
        writer.writerows([names, *rows])
