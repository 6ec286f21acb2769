"""How many keys a second are looked through, imported and exported again, and in how much memory.

The file is one of djangorestframework-api-key, with a role for each key. The database is one
of its own: SQLite, or on the server of DATABASE_URL.
"""

import argparse
import hashlib
import json
import resource
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

from django.db import connection
from django.test.utils import setup_databases, teardown_databases

from keys import exporting, policy, services
from keys.models import Organization, Role, User
from keys.moves.columns import Format
from keys.services import ImportOptions, ImportReport
from tests.benchmarks.writing import settle

_CHUNK_BYTES = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say how many keys."""
    parser.add_argument("--keys", type=int, nargs="+", default=[10_000, 100_000])


def run(options: argparse.Namespace) -> str:
    """Measure, and return the report as a Markdown table."""
    databases = setup_databases(verbosity=0, interactive=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = [_measure(count, Path(folder)) for count in options.keys]
    finally:
        teardown_databases(databases, verbosity=0)
    head = "| keys | look through: keys/s | import: keys/s | import again: keys/s | export: keys/s"
    return "\n".join(
        [
            f"Moving keys on {connection.vendor}.",
            "",
            f"{head} | peak memory: MB |",
            "|---:" * 6 + "|",
            *rows,
        ]
    )


def _measure(count: int, folder: Path) -> str:
    owner = User.objects.create_user(f"owner@moves-{count}.example")
    organization = services.create_organization(
        actor=policy.OPERATOR, name=f"Moves {count}", slug=f"moves-{count}", owner=owner
    )
    path = folder / f"{count}.jsonl"
    with path.open("w") as file:
        file.writelines(_lines(count))
    trial = _time(count, lambda: _take(organization, path, is_trial=True))
    taken = _time(count, lambda: _take(organization, path))
    settle()
    again = _time(count, lambda: _take(organization, path))
    exported = _time(count, lambda: _export(organization))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    rates = " | ".join(f"{rate:,.0f}" for rate in (trial, taken, again, exported))
    return f"| {count:,} | {rates} | {memory:,} |"


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


def _time(count: int, work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return count / (perf_counter() - began)
