"""What a verification costs, beside a bare WSGI application and beside other packages.

All servers of a table are up at once and asked by wrk in short slices, in turns; slices
during which other processes computed are thrown away and repeated. Figures are medians;
processor time is that of the server's processes, and of PostgreSQL's where it serves them.
Only ratios within one table mean anything.
"""

import argparse
import os
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from tests.benchmarks import bars, load, plot, promises
from tests.benchmarks.changes import Changer
from tests.benchmarks.ground import HOT_KEYS
from tests.benchmarks.load import Request
from tests.benchmarks.machine import facts, pinned
from tests.benchmarks.report import Report
from tests.benchmarks.rounds import Server, Variant, measure
from tests.benchmarks.stage import Ground, Stage
from tests.benchmarks.tables import Table, as_figures, as_text

AUTH = "/v1/auth?scope=READ"
QUESTION = '{"key": "KEY", "scopes": ["READ"], "ip": "127.0.0.1"}'
CHANGES_PER_SECOND = 100


@dataclass(frozen=True)
class Effort:
    """How long it is measured: clean slices of each row, their seconds, and the like."""

    rounds: int
    seconds: int
    # Seconds for each table; a quiet machine needs half.
    budget: float
    keys: int
    sizes: tuple[int, ...]
    cycles: int
    kills: int


FULL = Effort(5, 2, 480, 10_000, (1_000, 100_000, 1_000_000), 10_000, 20)
QUICK = Effort(3, 1, 30, 1_000, (1_000, 10_000), 100, 1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say how long it is measured, what, and where PostgreSQL is."""
    parser.add_argument("--quick", action="store_true", help="roughly, in about two minutes")
    parser.add_argument(
        "--postgres",
        metavar="URL",
        default=os.environ.get("DATABASE_URL", ""),
        help="measure on this server too: postgres://user@host:5432 (else DATABASE_URL)",
    )
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--no-promises", action="store_true", help="measure tables alone")
    parser.add_argument(
        "--growth", type=int, nargs="+", metavar="KEYS", help="sizes of the growing table"
    )


def run(options: argparse.Namespace) -> Report:
    """Measure, and return tables, figures and which bars they meet."""
    load.require_wrk()
    effort = QUICK if options.quick else FULL
    if options.growth:
        effort = replace(effort, sizes=tuple(options.growth))
    servers = [None]
    if options.postgres.startswith("postgres"):
        servers.append(options.postgres)
    began = time.monotonic()
    tables, findings = [], []
    for name in options.tables:
        with ExitStack() as stack:
            tables.append(TABLES[name](stack, effort, servers))
            _say(f"measured: {name}")
    if not options.no_promises:
        for server in servers:
            findings += promises.stale_verdicts(effort.cycles, server)
            findings += promises.killed_servers(effort.kills, server)
    findings = bars.judge(tables) + findings
    minutes = (time.monotonic() - began) / 60
    return Report(
        as_text(tables, findings, facts(), minutes),
        as_figures(tables, findings, facts()),
        partial(plot.draw, tables),
    )


def _side_by_side(stack: ExitStack, effort: Effort, servers: list[str | None]) -> Table:
    stage, variants = Stage(stack), []
    for postgres in servers:
        ground = Ground(stack, effort.keys, postgres=postgres).fill()
        if not variants:
            variants.append(_bare(stage.bare(ground), ground))
        portal = stage.portal(ground)
        variants += _of_gate(portal, ground, _changer(stack, ground))
        cold = stage.portal(ground, KEYS_REMEMBERED="1")
        variants.append(_get("gate, GET, from the database each time", cold, ground))
        # On a ground of their own: keys that were changed for another row are read again.
        apart = Ground(stack, HOT_KEYS, postgres=postgres).fill(peers=True)
        variants += _of_drf(stage.peers(apart), apart)
    _measure(variants, effort)
    return Table("One processor for the server, one for its clients", variants)


def _sharing(stack: ExitStack, effort: Effort, servers: list[str | None]) -> Table:
    stage = Stage(stack)
    ground = Ground(stack, effort.keys).fill()
    portal = stage.portal(ground, is_pinned=False)
    variants = [
        _bare(stage.bare(ground, is_pinned=False), ground),
        _get("gate, GET", portal, ground),
        _post(portal, ground),
    ]
    if nginx := stage.nginx(ground, portal):
        request = Request(ground.keys("hot"), "/", host="api.example.com")
        variants.append(Variant("nginx auth_request to the gate (SQLite)", nginx, request))
    _measure(variants, effort)
    return Table("Servers and clients share all processors, a worker for each", variants)


def _growing(stack: ExitStack, effort: Effort, servers: list[str | None]) -> Table:
    stage, variants = Stage(stack), []
    for postgres in servers:
        for count in effort.sizes:
            ground = Ground(stack, count, postgres=postgres).fill()
            if not variants:
                variants.append(_bare(stage.bare(ground), ground))
            named = f"{count:,} keys"
            variants.append(_get(f"gate, GET, {named}", stage.portal(ground), ground))
            cold = stage.portal(ground, KEYS_REMEMBERED="1")
            name = f"gate, GET, {named}, from the database each time"
            variants.append(_get(name, cold, ground, keys="good"))
    _measure(variants, effort)
    return Table("As keys grow", variants)


TABLES = {"side-by-side": _side_by_side, "sharing": _sharing, "growing": _growing}


def _bare(server: Server, ground: Ground) -> Variant:
    return Variant("bare WSGI application", server, Request(ground.keys("hot"), "/"))


def _get(
    name: str, server: Server, ground: Ground, keys: str = "hot", *, is_good: bool = True
) -> Variant:
    request = Request(ground.keys(keys), AUTH, is_good=is_good)
    return Variant(f"{name} ({ground.engine})", server, request)


def _post(server: Server, ground: Ground) -> Variant:
    asker = f"X-API-Key: {ground.keys('asker').read_text().strip()}"
    request = Request(
        ground.keys("hot"),
        "/v1/verify",
        method="POST",
        header="",
        body=QUESTION,
        authorization=asker,
        tells_by_status=False,
    )
    return Variant(f"gate, POST ({ground.engine})", server, request)


def _of_gate(server: Server, ground: Ground, changer: Changer) -> list[Variant]:
    during = _get(f"gate, GET, {CHANGES_PER_SECOND} key changes/s", server, ground)
    during.meanwhile = partial(changer.changing, CHANGES_PER_SECOND)
    return [
        _get("gate, GET", server, ground),
        _post(server, ground),
        during,
        _get("gate, GET, garbage", server, ground, "garbage", is_good=False),
        _get("gate, GET, unknown keys", server, ground, "unknown", is_good=False),
    ]


def _of_drf(server: Server, ground: Ground) -> list[Variant]:
    def variant(name: str, path: str, keys: str, header: str) -> Variant:
        is_guarded = path != "/anybody"
        request = Request(ground.keys(keys), path, header=header, tells_by_status=is_guarded)
        return Variant(f"DRF, {name} ({ground.engine})", server, request)

    return [
        variant("no authentication", "/anybody", "hot", "X-API-Key: "),
        variant("a key of ours", "/keyhaven", "hot", "X-API-Key: "),
        variant("djangorestframework-api-key", "/api-key", "api-key", "Authorization: Api-Key "),
        variant("TokenAuthentication", "/token", "token", "Authorization: Token "),
        variant("django-rest-knox", "/knox", "knox", "Authorization: Token "),
    ]


def _changer(stack: ExitStack, ground: Ground) -> Changer:
    changer = Changer(ground.env, pinned([sys.executable, "-m", "tests.benchmarks.changes"], 1))
    stack.callback(changer.close)
    return changer


def _measure(variants: list[Variant], effort: Effort) -> None:
    measure(variants, rounds=effort.rounds, seconds=effort.seconds, budget=effort.budget)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
