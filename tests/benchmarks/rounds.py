"""Measure servers side by side: all of them up, asked in short slices, in turns.

Whatever else this machine does then hits all alike, and what it did during a slice is
known: a slice during which other processes computed too much is thrown away and repeated.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from statistics import median

from tests.benchmarks import load
from tests.benchmarks.ground import HOT_KEYS
from tests.benchmarks.load import Load, Request
from tests.benchmarks.machine import database_servers, family, processor_seconds

# Of one processor, what others may use during a slice that counts.
CLEAN = 0.08
# Below this many clean slices the quietest are taken; the report says so.
ENOUGH = 3
# What is remembered is asked for more often than this; a busy machine may take long.
_WARM_SECONDS = 20


@dataclass(frozen=True)
class Server:
    """One that runs: where it listens, its processes, and the database that serves it."""

    port: int
    processes: tuple[int, ...]
    database: str | None = None
    # Whether server and wrk have a processor each; else they share all of them.
    is_pinned: bool = True
    connections: int = 8


@dataclass
class Variant:
    """One row: a question to one server, and what goes on meanwhile."""

    name: str
    server: Server
    request: Request
    # Begun before and ended after each slice; its processes count as nobody's.
    meanwhile: Callable[[], AbstractContextManager[int | None]] = nullcontext
    slices: list["Slice"] = field(default_factory=list)
    asked: int = 0

    @property
    def kept(self) -> list["Slice"]:
        """The clean slices; the quietest where these are too few."""
        clean = [each for each in self.slices if each.foreign <= CLEAN]
        return clean if len(clean) >= ENOUGH else self.quietest(ENOUGH)

    def quietest(self, count: int) -> list["Slice"]:
        return sorted(self.slices, key=lambda each: each.foreign)[:count]

    def figure(self, name: str) -> float:
        """Return the median of one attribute over what is kept."""
        return median(getattr(each, name) for each in self.kept)


@dataclass(frozen=True)
class Slice:
    """What one slice saw. Processor time is in microseconds for each request."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    server_us: float
    database_us: float
    # Processors that others used meanwhile.
    foreign: float

    @property
    def total_us(self) -> float:
        return self.server_us + self.database_us


def measure(variants: Sequence[Variant], *, rounds: int, seconds: int, budget: float) -> None:
    """Ask until each variant has so many clean slices, or the budget of seconds is spent."""
    for variant in variants:
        _try(variant)
        _warm_up(variant)
    until = time.monotonic() + budget
    turn = 0
    while time.monotonic() < until and (lacking := list(_lacking(variants, rounds))):
        first = turn * 3 % len(lacking)
        for variant in lacking[first:] + lacking[:first]:
            # Everybody has one slice, whatever the budget says.
            if variant.slices and time.monotonic() > until:
                return
            if taken := _slice(variant, seconds):
                variant.slices.append(taken)
        turn += 1


def _try(variant: Variant) -> None:
    """Raise RuntimeError unless a good key is let through, and one like it is not."""
    request, port = variant.request, variant.server.port
    key = request.keys.read_text().split("\n", 1)[0]
    middle = len(key) // 2
    another = key[:middle] + ("A" if key[middle] != "A" else "B") + key[middle + 1 :]
    tried = [(key, request.is_good)]
    if request.tells_by_status:
        tried.append((another, False))
    for tried_key, expected in tried:
        answer = load.status(request, port, tried_key)
        if (answer < 300) is not expected:
            raise RuntimeError(f"{variant.name} answers {answer} at first.")


def _warm_up(variant: Variant) -> None:
    """Ask with as many keys as there are in turns, or for long enough."""
    until = time.monotonic() + _WARM_SECONDS
    _slice(variant, 1)
    while variant.asked < HOT_KEYS and time.monotonic() < until:
        _slice(variant, 1)


def _lacking(variants: Sequence[Variant], rounds: int) -> Iterator[Variant]:
    for variant in variants:
        if sum(each.foreign <= CLEAN for each in variant.slices) < rounds:
            yield variant


def _slice(variant: Variant, seconds: int) -> Slice | None:
    server = variant.server
    with variant.meanwhile() as helper:
        wrk = load.start(
            variant.request,
            server.port,
            seconds,
            connections=server.connections,
            processor=1 if server.is_pinned else None,
            first=variant.asked,
        )
        helpers = family(helper) if helper else set()
        before = _Clock(server, helpers)
        seen = load.result(wrk)
        after = _Clock(server, helpers)
    variant.asked += seen.requests
    _require_expected(variant, seen)
    if not seen.requests:  # on a machine that does much else
        return None
    own, database = after.own - before.own, after.database - before.database
    counted = own + database + after.helpers - before.helpers
    return Slice(
        requests_per_second=seen.requests / seen.seconds,
        p50_ms=seen.p50_ms,
        p99_ms=seen.p99_ms,
        server_us=own / seen.requests * 1e6,
        database_us=database / seen.requests * 1e6,
        foreign=max(0.0, (after.everybody - before.everybody - counted) / seen.seconds),
    )


class _Clock:
    """What has been computed until now, and by whom."""

    def __init__(self, server: Server, helpers: set[int]) -> None:
        databases = database_servers(server.database) if server.database else set()
        self.everybody = processor_seconds()
        self.own = processor_seconds(family(*server.processes))
        self.database = processor_seconds(databases)
        # Ours, with that of a wrk that has ended, and what goes on meanwhile.
        self.helpers = processor_seconds({os.getpid()} | helpers)


def _require_expected(variant: Variant, seen: Load) -> None:
    expected = 0 if variant.request.is_good else seen.requests
    if seen.broken or seen.refused != expected:
        raise RuntimeError(
            f"{variant.name}: of {seen.requests} answers {seen.refused} were refusals, "
            f"{seen.broken} connections broke."
        )
