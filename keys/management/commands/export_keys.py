"""Write all keys of an organization into a file that this or another installation imports."""

import contextlib
import json
import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from keys import exporting, policy, services, standby
from keys.management.arguments import find_organization


class Command(BaseCommand):
    """Exports as the operator, the only one who gets digests."""

    help = (
        "Export an organization's keys as JSON lines or CSV, to the standard output or a file. "
        "`import_keys --format native` makes the same keys of it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", required=True, metavar="SLUG", help="its short name")
        parser.add_argument("--format", choices=["jsonl", "csv"], default="jsonl")
        parser.add_argument(
            "--with-digests",
            action="store_true",
            help="with what is stored of their secrets, without which nobody can use them. It "
            "verifies nothing without KEY_PEPPERS; keep it as you keep the database",
        )
        parser.add_argument("--output", type=_new_file, help="a file that is not there yet")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = find_organization(options["organization"])
        keys = organization.api_keys.all()
        count = keys.count()
        records = standby.rows(
            lambda: exporting.records(keys, with_digests=options["with_digests"])
        )
        with tqdm(
            total=count,
            unit="keys",
            file=sys.stderr,
            disable=options["verbosity"] == 0 or not sys.stderr.isatty(),
        ) as bar:
            lines = exporting.lines(_counted(records, bar), options["format"])
            self._write(lines, options["output"])
        services.note_export(
            actor=policy.OPERATOR,
            organization=organization,
            count=count,
            filters={"digests": json.dumps(options["with_digests"])},
        )

    def _write(self, lines: Iterable[str], path: Path | None) -> None:
        if path is None:
            self.stdout.ending = ""
            for line in lines:
                self.stdout.write(line, ending="")
            return
        # For the operator alone, whatever else is readable here.
        with contextlib.closing(_open_new(path)) as file:
            file.writelines(lines)


def _counted(records: Iterable[dict[str, Any]], bar: Any) -> Iterator[dict[str, Any]]:
    for record in records:
        yield record
        bar.update()


def _open_new(path: Path) -> Any:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandError(f"output: {error.strerror}: {path}") from None
    return open(descriptor, "w", encoding="utf-8", newline="")


def _new_file(text: str) -> Path:
    if Path(text).exists():
        raise ArgumentTypeError(f"{text!r} is there already")
    return Path(text)
