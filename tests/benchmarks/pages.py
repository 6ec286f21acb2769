"""Server time and queries of the pages, as an organization's keys grow.

Every page is asked for in the process, signed in as the organization's owner, sizes taking
turns so that whatever else the machine does hits all of them; what counts is the median.
The database is one of its own: SQLite, or on the server of DATABASE_URL.
"""

import argparse
from statistics import median
from time import perf_counter

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, setup_databases, teardown_databases
from django.utils import timezone

from keys.models import Organization, User
from tests.benchmarks.population import populate

# Name -> path below the organization's; `{key}` is a key in the middle of the list.
PAGES = {
    "home": "",
    "home, 1 hour": "?range=1h",
    "home, 30 days": "?range=30d",
    "keys": "keys/",
    "keys, by name": "keys/?ordering=name",
    "keys, by last use": "keys/?ordering=-last_used_at",
    "keys, search": "keys/?search=service+77",
    "keys, never used": "keys/?unused=true",
    "keys, no IP list": "keys/?unrestricted=true",
    "keys, expiring": "keys/?expiring=true&ordering=expires_at",
    "new key": "keys/new/",
    "key": "keys/{key}/",
    "members": "settings/members/",
    "roles and scopes": "settings/roles/",
    "workspaces": "settings/workspaces/",
    "server addresses": "settings/server-addresses/",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which sizes, and how often each page is visited."""
    parser.add_argument("--keys", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--rounds", type=int, default=9)


def run(options: argparse.Namespace) -> str:
    """Measure, and return the report as a Markdown table."""
    databases = setup_databases(verbosity=0, interactive=False)
    try:
        grounds = [populate(count, now=timezone.now()) for count in options.keys]
        if connection.vendor == "postgresql":
            # What its autovacuum does by itself within minutes.
            with connection.cursor() as cursor:
                cursor.execute("ANALYZE")
        return _report(_measure(grounds, options.rounds), options)
    finally:
        teardown_databases(databases, verbosity=0)


def _measure(
    grounds: list[tuple[Organization, User]], rounds: int
) -> dict[str, list[tuple[float, int]]]:
    """Return page -> for each organization (median milliseconds, queries)."""
    clients = []
    for organization, owner in grounds:
        client = Client(SERVER_NAME="localhost")
        client.force_login(owner)
        key = organization.api_keys.order_by("pk")[organization.api_keys.count() // 2]
        clients.append((client, f"/organizations/{organization.slug}/", key.identifier))
    table = {}
    for name, path in PAGES.items():
        visits = [(client, home + path.format(key=key)) for client, home, key in clients]
        # The first visit of a page compiles its templates; it is not timed.
        queries = [_count_queries(*visit) for visit in visits]
        times = [[_time(*visit) for visit in visits] for _round in range(rounds)]
        medians = map(median, zip(*times, strict=True))
        table[name] = list(zip(medians, queries, strict=True))
    return table


def _count_queries(client: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        response = client.get(path)
    if response.status_code != 200:
        raise SystemExit(f"{path} answered {response.status_code}.")
    return len(captured)


def _time(client: Client, path: str) -> float:
    began = perf_counter()
    client.get(path)
    return (perf_counter() - began) * 1000


def _report(table: dict[str, list[tuple[float, int]]], options: argparse.Namespace) -> str:
    smallest = options.keys[0]
    heads = [f"{count:,} keys" for count in options.keys]
    title = f"Pages on {connection.vendor}, medians of {options.rounds} visits"
    lines = [
        f"{title}; × is against {smallest:,} keys.",
        "",
        "| page | " + " | ".join(f"{head}: ms | queries" for head in heads) + " | × |",
        "|---|" + "---:|---:|" * len(heads) + "---:|",
    ]
    for name, cells in table.items():
        figures = " | ".join(f"{milliseconds:.0f} | {count}" for milliseconds, count in cells)
        lines.append(f"| {name} | {figures} | {cells[-1][0] / cells[0][0]:.1f} |")
    return "\n".join(lines)
