"""Import keys that were issued elsewhere from a file, with their digests or secrets."""

import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from tqdm import tqdm

from keys import policy, services
from keys.management import arguments
from keys.moves.columns import ColumnError, Format

_CHUNK_BYTES = 1 << 20


class Command(BaseCommand):
    """Imports as the operator, who is refused nothing but nonsense."""

    help = (
        "Import keys from a CSV file with a header, or JSON lines: all of them, or none and say "
        "what is wrong with which row. They go on working as their holders know them. Importing "
        "a file again adds only what is new."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="CSV or JSON lines, in UTF-8")
        parser.add_argument(
            "--organization",
            required=True,
            type=arguments.text,
            metavar="SLUG",
            help="its short name",
        )
        parser.add_argument(
            "--format", required=True, choices=[each.value for each in Format], help="whose file"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="look through the file and write nothing"
        )
        parser.add_argument(
            "--skip-invalid", action="store_true", help="import the rows that have no problem"
        )
        parser.add_argument(
            "--owner",
            type=arguments.text,
            metavar="EMAIL",
            help="the member whose keys they are where the file says nothing; without one they "
            "are the organization's own",
        )
        grant = parser.add_mutually_exclusive_group()
        grant.add_argument(
            "--role", type=arguments.text, help="which they follow where the file says none"
        )
        grant.add_argument(
            "--scope", nargs="+", action="extend", default=[], type=arguments.text, metavar="CODE"
        )
        parser.add_argument(
            "--workspace",
            type=arguments.text,
            metavar="NAME",
            help="where they go; else the default one",
        )
        parser.add_argument(
            "--map",
            nargs="+",
            action="extend",
            default=[],
            type=_pair,
            metavar="THEIRS=OURS",
            help="which column holds what, as in user=owner; user=- leaves it out",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            size = path.stat().st_size
            report = self._import(path, size, options)
        except OSError as error:
            raise CommandError(f"file: {error.strerror}: {path}") from None
        except ColumnError as error:
            raise CommandError(f"--map: There is nothing called {str(error)!r}.") from None
        except ValidationError as error:
            raise CommandError(arguments.one_line(error)) from None
        except PermissionDenied as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(f"The database refused: {' '.join(str(error).split())}") from None
        self._tell(report, options)
        if report.refused and not (options["skip_invalid"] and report.is_written):
            raise CommandError("Nothing was imported." if not options["dry_run"] else "Not clean.")

    def _import(self, path: Path, size: int, options: dict[str, Any]) -> services.ImportReport:
        organization = arguments.find_organization(options["organization"])
        wanted = services.ImportOptions(
            file_format=Format(options["format"]),
            mapped=dict(options["map"]),
            owner=arguments.find_person(options["owner"]),
            role=arguments.find_role(organization, options["role"]),
            scopes=tuple(options["scope"]),
            workspace=arguments.find_workspace(organization, options["workspace"]),
            is_trial=options["dry_run"],
            skips_invalid=options["skip_invalid"],
        )
        # It is looked through before it is written.
        passes = 1 if wanted.is_trial or wanted.skips_invalid else 2
        with tqdm(
            total=size * passes,
            unit="B",
            unit_scale=True,
            file=sys.stderr,
            disable=options["verbosity"] == 0 or not sys.stderr.isatty(),
        ) as bar:

            def source() -> Iterator[bytes]:
                with path.open("rb") as file:
                    while chunk := file.read(_CHUNK_BYTES):
                        yield chunk
                        bar.update(len(chunk))

            return services.import_keys(
                actor=policy.OPERATOR,
                organization=organization,
                source=source,
                options=wanted,
                progress=lambda rows: bar.set_postfix_str(f"+{rows} rows", refresh=False),
            )

    def _tell(self, report: services.ImportReport, options: dict[str, Any]) -> None:
        for problem in report.problems:
            self.stderr.write(str(problem))
        if report.unlisted > 0:
            self.stderr.write(f"… and {report.unlisted} more.")
        if report.unread_columns:
            self.stdout.write(f"Columns not read: {', '.join(report.unread_columns)}")
        verb = "imported" if report.is_written else "to import"
        self.stdout.write(
            f"{report.rows} rows: {report.imported} {verb}, {report.present} here already, "
            f"{report.refused} with problems."
        )
        if report.empty:
            lines = "1 empty line" if report.empty == 1 else f"{report.empty} empty lines"
            self.stdout.write(f"Passed over: {lines}.")


def _pair(text: str) -> tuple[str, str]:
    theirs, equals, ours = arguments.text(text).partition("=")
    if not equals or not theirs or not ours:
        raise ArgumentTypeError(f"{text!r} is not of the form THEIRS=OURS")
    return theirs, ours
