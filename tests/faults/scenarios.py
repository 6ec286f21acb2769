"""What can fail, what is promised of it, and how it is made to fail under load."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from tests import clusters, servers
from tests.faults import reconcile
from tests.faults.installation import (
    Engines,
    Installation,
    can_mount,
    full,
    python,
    redis,
    small_disk,
)
from tests.faults.load import Caller, Load, verdict
from tests.faults.mailbox import mailbox
from tests.hosts import wait_until
from tests.test_receivers import receiver, say

# What is asked about during each of them: from memory, posted, charged, and charged until nothing
# is left.
ASKED = ("hot", "posted", "limited", "few")
_RECOVERY_SECONDS = 60
HOUR, DAY = 3600, 86400


class NotHereError(Exception):
    """What a scenario needs is not on this machine."""


@dataclass(frozen=True)
class Outcome:
    """What was measured, and in which ways a promise was broken."""

    measured: str
    broken: list[str]


@dataclass(frozen=True)
class Stage:
    """Where a scenario takes place."""

    engines: Engines
    directory: Path
    # How long the load goes on before and after each blow.
    seconds: float
    stack: ExitStack

    def installation(self, engine: str, **settings: Any) -> Installation:
        """Return a portal that is not started yet."""
        if engine == "PostgreSQL" and clusters.binaries() is None:
            raise NotHereError("PostgreSQL's programs are not here.")
        return Installation(self.engines, self.stack, self.directory / "host", engine, **settings)

    def disk(self, megabytes: int) -> Path:
        """Return a disk of this size."""
        if not can_mount(self.directory):
            raise NotHereError("No disk can be mounted here.")
        return self.stack.enter_context(small_disk(self.directory / "disk", megabytes))

    def disk_of_postgres(self, megabytes: int) -> Path:
        """Return a directory of PostgreSQL on a disk of this size."""
        if clusters.binaries() is None:
            raise NotHereError("PostgreSQL's programs are not here.")
        if not can_mount(self.directory):
            raise NotHereError("No disk can be mounted here.")
        where = self.stack.enter_context(clusters.directory_of_postgres())
        disk = self.stack.enter_context(small_disk(where / "disk", megabytes))
        own = disk / "own"
        own.mkdir(mode=0o700)
        shutil.chown(own, "postgres")
        return own


@dataclass(frozen=True)
class Scenario:
    """One fault."""

    fault: str
    promised: str
    play: Callable[[Stage], Outcome]

    def run(self, engines: Engines, directory: Path, seconds: float) -> Outcome:
        """Let it happen. Raises NotHereError where it cannot."""
        with ExitStack() as stack:
            return self.play(Stage(engines, directory, seconds, stack))


def _killed(engine: str) -> Callable[[Stage], Outcome]:
    def play(stage: Stage) -> Outcome:
        host = stage.installation(engine)
        with _loaded(host) as load:
            longest = 0.0
            for _blow in range(3):
                time.sleep(stage.seconds)
                host.kill()
                struck_at = time.monotonic()
                host.start()
                longest = max(longest, _recovery(load, struck_at))
        return _outcome(host, load, f"all as before {longest:.1f} s after the kill at most")

    return play


def _database_restarted(stage: Stage) -> Outcome:
    host = stage.installation("PostgreSQL")
    with _loaded(host) as load:
        longest = 0.0
        for _blow in range(reconcile.BLOWS):
            time.sleep(stage.seconds)
            host.engines.cluster.kill()
            time.sleep(stage.seconds)
            host.engines.cluster.start()
            longest = max(longest, _recovery(load, time.monotonic()))
    return _outcome(host, load, f"all as before {longest:.1f} s after the database at most")


def _state_disk_full(stage: Stage) -> Outcome:
    disk = stage.disk(8)
    # Small, so that they are full within a test.
    host = stage.installation("SQLite", STATE_DIR=str(disk / "state"), SEGMENT_BYTES="65536")
    with _loaded(host) as load:
        time.sleep(stage.seconds)
        with full(disk):
            wait_until(lambda: _refused(load) > 0, seconds=_RECOVERY_SECONDS)
            host.kill()
            host.start()
            killed_at = _refused(load)
            wait_until(lambda: _refused(load) > killed_at + 2, seconds=_RECOVERY_SECONDS)
            time.sleep(stage.seconds)
            refused = _refused(load)
        longest = _recovery(load, time.monotonic())
    more = f"{refused:,} answered 503; all as before {longest:.1f} s after there was room"
    return _outcome(host, load, more)


def _database_disk_full(stage: Stage) -> Outcome:
    disk = stage.disk(32)
    host = stage.installation("SQLite", database_at=disk)
    with _loaded(host) as load:
        time.sleep(stage.seconds)
        with full(disk):
            wait_until(lambda: load.changes.statuses["503"] > 2, seconds=_RECOVERY_SECONDS)
            full_at = time.monotonic()
            wait_until(lambda: load.verifies_after(full_at, "hot"), seconds=_RECOVERY_SECONDS)
            time.sleep(stage.seconds)
        longest = _recovery(load, time.monotonic())
    more = f"all as before {longest:.1f} s after there was room"
    return _outcome(host, load, more)


def _tables_disk_full(stage: Stage) -> Outcome:
    """Whatever finds room in a table as it is goes on, until there is none."""
    tables = stage.disk_of_postgres(64)
    host = stage.installation("PostgreSQL", database_at=tables)
    host.start_worker()
    with _loaded(host) as load:
        time.sleep(stage.seconds)
        with full(tables.parent):
            wait_until(lambda: load.changes.statuses["503"] > 2, seconds=_RECOVERY_SECONDS)
            full_at = time.monotonic()
            wait_until(lambda: load.verifies_after(full_at, "hot"), seconds=_RECOVERY_SECONDS)
            time.sleep(stage.seconds)
        longest = _recovery(load, time.monotonic())
    from_memory = {name: load.tallies[name].failed for name in ("hot", "posted")}
    broken = [f"{name}: {failed} failed." for name, failed in from_memory.items() if failed]
    more = f"all as before {longest:.1f} s after there was room"
    return _outcome(host, load, more, broken)


def _log_disk_full(stage: Stage) -> Outcome:
    """PostgreSQL ends by it, and cannot start until there is room."""
    log = stage.disk_of_postgres(256)
    engines = Engines(stage.stack, stage.directory / "engines", log_at=log / "log")
    host = replace(stage, engines=engines).installation("PostgreSQL")
    # As a standby that is away does: otherwise it would write over what it has.
    engines.cluster.execute("SELECT pg_create_physical_replication_slot('away', true)")
    host.start_worker()
    with _loaded(host) as load:
        time.sleep(stage.seconds)
        with full(log.parent):
            wait_until(lambda: _runs_out_of_log(engines.cluster), seconds=_RECOVERY_SECONDS)
            time.sleep(stage.seconds)
        engines.cluster.start()
        longest = _recovery(load, time.monotonic())
    more = f"all as before {longest:.1f} s after there was room"
    return _outcome(host, load, more)


def _runs_out_of_log(cluster: clusters.Server) -> bool:
    """Say whether PostgreSQL ended; let it go on to what it has laid by, until there is none."""
    with suppress(psycopg.Error):
        cluster.execute("SELECT pg_switch_wal()")
    return cluster.is_down()


def _redis_lost(stage: Stage) -> Outcome:
    try:
        server = stage.stack.enter_context(redis(stage.directory))
    except FileNotFoundError:
        raise NotHereError("There is no Redis here.") from None
    urls = {"RATE_LIMIT_STORAGE": server.url(1), "CACHE_URL": server.url(0)}
    host = stage.installation("SQLite", **urls)
    with _loaded(host, ("hot", "open", "closed")) as load:
        time.sleep(stage.seconds)
        server.kill()
        killed_at = time.monotonic()
        wait_until(
            lambda: (
                load.tallies["closed"].statuses["429"] > 2
                and load.recovered_after(killed_at, "hot", "open")
            ),
            seconds=_RECOVERY_SECONDS,
        )
        time.sleep(stage.seconds)
        stopped_at = load.tallies["closed"].accepted_at
        server.start()
        longest = _recovery(load, time.monotonic(), "hot", "open", "closed")
    broken = []
    open_to = load.tallies["open"]
    if open_to.answered > open_to.accepted:
        broken.append("Who was to be let through was refused.")
    if stopped_at > killed_at + 1:
        broken.append("Who was to be refused was let through.")
    more = f"all as before {longest:.1f} s after Redis"
    return _outcome(host, load, more, broken)


def _receivers_dead(stage: Stage) -> Outcome:
    """The worker's clock goes through a day and a half, in which nobody takes anything."""
    port, hook = servers.free_port(), servers.free_port()
    host = stage.installation("SQLite", EMAIL_URL=f"smtp://127.0.0.1:{port}")
    python("tests.faults.hook", host.env, f"http://127.0.0.1:{hook}/")
    with _loaded(host) as load:
        for hours in (0.1, 1, 24):
            time.sleep(stage.seconds / 2)
            host.work(hours)
    with mailbox(port) as letters, receiver(say(204), hook) as server:
        for hours in (31, 38):
            host.work(hours)
    ids = [headers["webhook-id"] for _path, headers, _body in server.seen]
    told = [json.loads(body) for _path, _headers, body in server.seen]
    issued = {each["data"]["key"]["id"] for each in told if each["type"] == "apikey.issued"}
    books = host.books()
    broken = [
        f"{books[each]} {each}." for each in ("waiting", "given up", "undelivered") if books[each]
    ]
    if sorted(ids) != sorted(books["deliveries"]):
        broken.append(f"{len(ids)} messages came of {len(books['deliveries'])}.")
    if not issued >= set(load.changes.issued):
        broken.append("No message tells of a key that was issued.")
    if not letters or len({each.as_string() for each in letters}) < len(letters):
        broken.append("No mail came, or one twice.")
    more = f"{len(ids):,} messages and {len(letters):,} mails arrived afterwards, each once"
    return _outcome(host, load, more, broken)


def _clock_jumps(stage: Stage) -> Outcome:
    """From noon: no day begins by itself meanwhile."""
    host = stage.installation("PostgreSQL")
    real = datetime.now(UTC)
    noon = real.replace(hour=12, minute=0, second=0, microsecond=0)
    start = (noon - real).total_seconds()
    host.set_clock(start)
    broken: list[str] = []
    with _loaded(host) as load:
        caller = stage.stack.enter_context(_calling(host))
        ends = (noon + timedelta(minutes=30)).isoformat()
        short = _issued(caller, load, expires_at=ends)
        daily = _issued(caller, load, limit=1, limit_reset="daily")

        def expect(what: str, secret: str, *codes: str) -> None:
            asker = load.secret("manager") if secret == daily else ""
            for code in codes:
                seen = verdict(caller, secret, asker, is_posted=bool(asker))
                if seen != code:
                    broken.append(f"{what}: {seen}, not {code}.")

        expect("Daily limit", daily, "VALID")
        expect("Rate by the day", load.secret("closed once"), "204")
        before = 0
        for jump in (0, HOUR, 0, -HOUR, 0, DAY, 0, -DAY, 0):
            host.set_clock(start + jump)
            jumped_at = time.monotonic()
            expect(f"Expiry, {jump:+} s", short, "401" if jump >= HOUR else "204")
            new = ["VALID"] if jump == DAY else []
            expect(f"Daily limit, {jump:+} s", daily, *new, "LIMIT_EXCEEDED")
            another = ["204"] if abs(jump - before) == DAY else []
            expect(f"Rate by the day, {jump:+} s", load.secret("closed once"), *another, "429")
            before = jump
            _recovery(load, jumped_at)
            time.sleep(stage.seconds / 4)
        wait_until(lambda: _are_trusting(host), seconds=_RECOVERY_SECONDS)
    return _outcome(host, load, "keys ended, limits and rates began as promised", broken)


def _issued(caller: Caller, load: Load, **terms: Any) -> str:
    organization = load.cast["organization"]
    body = {"key_name": "Key", "key_scope": ["READ"], "organization_id": organization, **terms}
    status, key = caller.call("POST", "/v1/api-keys", load.secret("manager"), body)
    assert status == 201, key
    return key["api_key"]


def _are_trusting(host: Installation) -> bool:
    """Say whether all workers judge from memory."""
    query = "SELECT bool_and(is_trusting) FROM keys_worker"
    return host.engines.cluster.execute(query, "keyhaven") == [(True,)]


def _refused(load: Load) -> int:
    """Return how often it was answered that a verification cannot be counted."""
    return load.tallies["hot"].statuses["503"]


@contextmanager
def _loaded(host: Installation, asked: tuple[str, ...] = ASKED) -> Iterator[Load]:
    host.start()
    with Load(host.port, host.cast, asked) as load:
        wait_until(lambda: load.recovered_after(0, *asked), seconds=_RECOVERY_SECONDS)
        yield load


@contextmanager
def _calling(host: Installation) -> Iterator[Caller]:
    caller = Caller(host.port)
    try:
        yield caller
    finally:
        caller.close()


def _recovery(load: Load, since: float, *names: str) -> float:
    """Return how long it took until all is answered again as before."""
    names = names or ("hot", "posted", "limited")
    wait_until(lambda: load.recovered_after(since, *names), seconds=_RECOVERY_SECONDS)
    return time.monotonic() - since


def _outcome(host: Installation, load: Load, more: str, broken: list[str] | None = None) -> Outcome:
    broken = list(broken or [])
    if host.portal.poll() is not None:
        broken.append("The portal ended by itself.")
    if host.worker is not None:
        if host.worker.poll() is not None:
            broken.append("The worker ended by itself.")
        host.work(hours=1)
    books = host.books()
    if host.worker is not None and (books["waiting"] or books["given up"]):
        broken.append(f"{books['waiting'] + books['given up']} messages were not sent.")
    said = [reconcile.measured(load, books), *([more] if more else [])]
    return Outcome("; ".join(said), [*broken, *reconcile.breaches(load, books)])


_STARTED_AGAIN = "All is as before once their supervisor started them again."

SCENARIOS = {
    "killed": Scenario(
        "`kill -9` of all workers, three times (SQLite)", _STARTED_AGAIN, _killed("SQLite")
    ),
    "killed-postgresql": Scenario(
        "`kill -9` of all workers, three times (PostgreSQL)", _STARTED_AGAIN, _killed("PostgreSQL")
    ),
    "database": Scenario(
        "PostgreSQL killed and started again, twice",
        "Without it, what no memory may answer gets 503.",
        _database_restarted,
    ),
    "state-disk": Scenario(
        "the disk of STATE_DIR is full, and the workers are killed meanwhile",
        "What cannot be counted gets 503 until there is room. No process ends by it.",
        _state_disk_full,
    ),
    "database-disk": Scenario(
        "the disk of SQLite's database is full",
        "Verification goes on and is counted afterwards; changes and what is charged get 503.",
        _database_disk_full,
    ),
    "tables-disk": Scenario(
        "the disk of PostgreSQL's tables is full",
        "Verification goes on and is counted afterwards; what needs room gets 503. No process of "
        "ours ends by it.",
        _tables_disk_full,
    ),
    "log-disk": Scenario(
        "the disk of PostgreSQL's log (WAL) is full",
        "PostgreSQL ends by it, and is started when there is room. Without it, what no memory may "
        "answer gets 503. No process of ours ends by it.",
        _log_disk_full,
    ),
    "redis": Scenario(
        "`kill -9` of Redis, which counts rates and failed sign-ins",
        "Rate-limited keys go on or get 429, as their organization set it; others go on.",
        _redis_lost,
    ),
    "receivers": Scenario(
        "mail server and webhook receiver dead for a day",
        "All is told afterwards, once.",
        _receivers_dead,
    ),
    "clock": Scenario(
        "the clock jumps by an hour and a day, forward and back (PostgreSQL)",
        "Keys end by the clock of the moment; no limit is had twice, a rate once more at most for "
        "each jump; memory is trusted by a clock that does not jump.",
        _clock_jumps,
    ),
}
