"""Server time and queries of the pages, as an organization's keys grow.

Every page is asked for in the process, signed in as the organization's owner, sizes taking
turns so that whatever else the machine does hits all of them; what counts is the median.
The database is one of its own: SQLite, or on the server of DATABASE_URL.
"""

import argparse
import logging
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from allauth.account.internal.flows.login import record_authentication
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.db.models import Max, Min
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext, setup_databases, teardown_databases
from django.utils import timezone

from keys.hygiene import CHECKS
from keys.models import Organization, User
from keys.orderings import ORDERINGS
from keys.views.saved_filters import SAVED_FILTERS
from tests.benchmarks import keys_at_once
from tests.benchmarks.population import populate
from tests.benchmarks.report import by_database
from tests.benchmarks.stopwatch import Stopwatch
from tests.benchmarks.writing import settle

# Name -> path below the organization's; `{key}` is a key in the middle of the list.
PAGES = {
    "home": "",
    "home, 1 hour": "?range=1h",
    "home, 30 days": "?range=30d",
    "keys": "keys/",
    **{f"keys, by {each}": f"keys/?ordering={each}" for each in ORDERINGS},
    "keys, search": "keys/?search=service+77",
    "keys, search of what nobody has": "keys/?search=frontend",
    "keys, search of what all have": "keys/?search=service",
    "keys, last four": "keys/?search={last_four}",
    "keys, number": "keys/?search=%23{number}",
    **{f"keys, {each.label}": f"keys/?{each.query}" for each in SAVED_FILTERS if each.query},
    "new key": "keys/new/",
    "key": "keys/{key}/",
    "explain": "explain/",
    "hygiene": "hygiene/",
    **{f"hygiene, {each.label}": f"hygiene/{name}/" for name, each in CHECKS.items()},
    "audit": "audit/",
    "audit, one action": "audit/?action=apikey.issued",
    "members": "settings/members/",
    "roles and scopes": "settings/roles/",
    "workspaces": "settings/workspaces/",
    "server addresses": "settings/server-addresses/",
    "settings": "settings/",
}


_PREFACE = """\
Time in the server of a whole page, its queries included and with nothing kept from the visit
before; signed in as the owner, who sees every key. “Database” is what of that went by while its
driver asked and fetched; in the rest Python writes queries and renders."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which sizes, and how often each page is visited."""
    parser.add_argument("--keys", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--pages", default="", help="only pages with this in their name")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="measure in the database of DATABASE_URL itself, which is for nothing else, and "
        "leave the keys there for the next time",
    )


def run(options: argparse.Namespace) -> str:
    """Measure, and return the report as a Markdown table."""
    logging.disable(logging.INFO)
    if options.keep:
        call_command("migrate", verbosity=0)
        return _run(options)
    databases = setup_databases(verbosity=0, interactive=False)
    try:
        return _run(options)
    finally:
        teardown_databases(databases, verbosity=0)


def _run(options: argparse.Namespace) -> str:
    grounds = [_ground(count) for count in options.keys]
    settle()
    pages = _report(_measure(grounds, options), options)
    largest = keys_at_once.measure(*grounds[-1], options.rounds)
    return _document(f"{pages}\n\nWith {options.keys[-1]:,} keys:\n\n{largest}", options)


def _document(section: str, options: argparse.Namespace) -> str:
    before = options.output / "pages.md" if options.output else None
    return by_database("What pages cost as keys grow", _PREFACE, section, before)


def _ground(count: int) -> tuple[Organization, User]:
    """Return the organization with so many keys, made if it is not there yet, and its owner."""
    organization = Organization.objects.filter(slug=f"bench-{count}").first()
    if organization is None:
        return populate(count, now=timezone.now())
    return organization, organization.memberships.get(is_owner=True).user


@dataclass(frozen=True)
class Figures:
    """What a visit took: milliseconds in all, and in the database; and how many queries."""

    all_ms: float
    database_ms: float
    queries: int


def _measure(
    grounds: list[tuple[Organization, User]], options: argparse.Namespace
) -> dict[str, list[Figures]]:
    """Return page -> for each organization the medians of its visits."""
    clients = []
    for organization, owner in grounds:
        client = _sign_in(owner)
        numbers = organization.api_keys.aggregate(first=Min("pk"), last=Max("pk"))
        middle = (numbers["first"] + numbers["last"]) // 2
        key = organization.api_keys.filter(pk__gte=middle).order_by("pk").first()
        places = {
            "key": key.identifier,
            "number": str(key.pk),
            "last_four": f"x{key.secrets.get().label[-3:]}",
        }
        clients.append((client, f"/organizations/{organization.slug}/", places))
    table = {}
    chosen = {name: path for name, path in PAGES.items() if options.pages in name}
    for name, path in chosen.items():
        visits = [(client, home + path.format(**places)) for client, home, places in clients]
        # The first visit of a page compiles its templates; it is not timed.
        queries = [_count_queries(*visit) for visit in visits]
        rounds = [[_time(*visit) for visit in visits] for _round in range(options.rounds)]
        table[name] = [
            Figures(*map(median, zip(*times, strict=True)), count)
            for times, count in zip(zip(*rounds, strict=True), queries, strict=True)
        ]
    return table


def _sign_in(person: User) -> Client:
    """Return a client of somebody who gave their password just now: some pages ask for that."""
    client = Client(SERVER_NAME="localhost")
    client.force_login(person)
    request = HttpRequest()
    request.session = client.session
    record_authentication(request, person, method="password")
    request.session.save()
    return client


def _count_queries(client: Client, path: str) -> int:
    cache.clear()
    with CaptureQueriesContext(connection) as captured:
        response = client.get(path)
    if response.status_code != 200:
        raise SystemExit(f"{path} answered {response.status_code}.")
    return len(captured)


def _time(client: Client, path: str) -> tuple[float, float]:
    """Return how many milliseconds a visit took, and how many of these its queries did."""
    # Figures that are kept for a minute are counted at each visit.
    cache.clear()
    with Stopwatch() as stopwatch:
        began = perf_counter()
        client.get(path)
        seconds = perf_counter() - began
    return seconds * 1000, stopwatch.seconds * 1000


def _report(table: dict[str, list[Figures]], options: argparse.Namespace) -> str:
    smallest = options.keys[0]
    heads = [f"{count:,} keys" for count in options.keys]
    lines = [
        f"Medians of {options.rounds} visits; × is against {smallest:,} keys.",
        "",
        "| page | " + " | ".join(f"{head}: ms | database | queries" for head in heads) + " | × |",
        "|---|" + "---:|---:|---:|" * len(heads) + "---:|",
    ]
    for name, cells in table.items():
        figures = " | ".join(
            f"{each.all_ms:.0f} | {each.database_ms:.0f} | {each.queries}" for each in cells
        )
        lines.append(f"| {name} | {figures} | {cells[-1].all_ms / cells[0].all_ms:.1f} |")
    return "\n".join(lines)
