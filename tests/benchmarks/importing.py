"""How many keys a second are looked through, imported and exported again, and in how much memory.

The file is one of djangorestframework-api-key, with a role for each key. The database is one
of its own: SQLite, or on the server of DATABASE_URL.
"""

import argparse
import gc
import hashlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

from django.test.utils import setup_databases, teardown_databases

from keys import exporting, policy, services
from keys.models import Organization, Role, User
from keys.moves.columns import Format
from keys.services import ImportOptions, ImportReport
from tests.benchmarks.report import by_database, table
from tests.benchmarks.writing import settle

_CHUNK_BYTES = 1 << 20
_HEADS = [
    *("keys", "look through: keys/s", "import: keys/s", "import again: keys/s", "export: keys/s"),
    *("import: µs of this processor for a key", "import: peak MB", "export: peak MB"),
]
_PREFACE = """\
A file of djangorestframework-api-key, as JSON lines, with a role for each key: looked through
(a dry run), imported into an organization of its own, imported once more, which finds that all
of it is there, and exported with its digests. An import looks through the file before it
writes, which is in its figure, as is an event of the audit trail for each key. Memory is the
peak of the process, Django included. The processor's time is that of the process, without the
server's of PostgreSQL. Other work went on meanwhile, see the load of the two processors: on a
machine that does nothing else each second holds more keys. What travels is the processor's
time for a key, and that memory stays as it is."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say how many keys."""
    parser.add_argument("--keys", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--import-only", action="store_true", help="leave out the rest")


def run(options: argparse.Namespace) -> str:
    """Measure, and return the report as a Markdown table."""
    logging.disable(logging.INFO)
    databases = setup_databases(verbosity=0, interactive=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = [
                _measure(count, Path(folder), all_of_it=not options.import_only)
                for count in options.keys
            ]
        load = " ".join(f"{each:.1f}" for each in os.getloadavg())
        before = options.output / "importing.md" if options.output else None
        section = f"{table(_HEADS, rows)}\n\nLoad of the machine at the end: {load}."
        return by_database("How fast keys are moved", _PREFACE, section, before)
    finally:
        teardown_databases(databases, verbosity=0)


def _measure(count: int, folder: Path, *, all_of_it: bool) -> list[str]:
    owner = User.objects.create_user(f"owner@moves-{count}.example")
    organization = services.create_organization(
        actor=policy.OPERATOR, name=f"Moves {count}", slug=f"moves-{count}", owner=owner
    )
    path = folder / f"{count}.jsonl"
    with path.open("w") as file:
        file.writelines(_lines(count))
    trial = _time(count, lambda: _take(organization, path, is_trial=True)) if all_of_it else None
    taken = _time(count, lambda: _take(organization, path))
    again = exported = None
    if all_of_it:
        settle()
        again = _time(count, lambda: _take(organization, path))
        exported = _time(count, lambda: _export(organization))
    return [
        f"{count:,}",
        *(f"{each.rate:,.0f}" if each else "—" for each in (trial, taken, again, exported)),
        f"{taken.processor:.0f}",
        f"{taken.memory:.0f}",
        f"{exported.memory:.0f}" if exported else "—",
    ]


def _lines(count: int) -> Iterator[str]:
    for number in range(count):
        prefix, secret = f"{count % 97:02}{number:06x}", f"{number:032x}"
        digest = hashlib.sha512(f"{prefix}.{secret}{count}".encode()).hexdigest()
        record = {
            "prefix": prefix,
            "hashed_key": f"sha512$${digest}",
            "name": f"Service {number}",
            "created": "2024-03-01T12:00:00Z",
            "expiry_date": "2099-01-01T00:00:00Z",
        }
        yield json.dumps(record) + "\n"


def _take(organization: Organization, path: Path, **wishes: bool) -> ImportReport:
    def source() -> Iterator[bytes]:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk

    role = Role.objects.get(organization=None, name="readonly")
    report = services.import_keys(
        actor=policy.OPERATOR,
        organization=organization,
        source=source,
        options=ImportOptions(Format.DRF_API_KEY, role=role, **wishes),
    )
    if report.refused:
        raise SystemExit(str(report.problems[0]))
    return report


def _export(organization: Organization) -> int:
    records = exporting.records(organization.api_keys.all(), with_digests=True)
    return sum(len(line) for line in exporting.lines(records, "jsonl"))


@dataclass(frozen=True)
class _Work:
    """What a work took: keys a second, processor time for a key, and its peak of memory."""

    rate: float
    # Microseconds.
    processor: float
    # Megabytes.
    memory: float


def _time(count: int, work: Callable[[], object]) -> _Work:
    gc.collect()
    # The peak is the process's from here on (proc_pid_clear_refs(5)).
    Path("/proc/self/clear_refs").write_text("5")
    began, computed = perf_counter(), process_time()
    work()
    took = perf_counter() - began
    found = _Work(count / took, (process_time() - computed) / count * 1e6, _peak())
    # A million keys take long: who waits sees how far it is.
    sys.stderr.write(f"{count:,} keys: {took:,.0f} s, {found.rate:,.0f} keys/s\n")
    return found


def _peak() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
