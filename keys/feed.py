"""What other hosts change, as PostgreSQL tells it, and until when this host may rely on that.

One worker of each host listens for all of them, and marks what is changed in the memory
that they share (generations.py), so that each worker sees it with its next request. That
what is heard is complete is shown by beats: notes that the host sends itself through the
database, behind whatever was committed before them. Memory is trusted until a lease after
the last beat that came back was sent. So whoever cannot hear, for whatever reason, asks the
database again: that costs speed and never a wrong answer.
"""

import fcntl
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from keys import generations
from keys.hosts import this_host

CHANNEL = "keyhaven"
# As the database lists these connections.
APPLICATION_NAME = "keyhaven-feed"
BEATS_IN_A_LEASE = 4

_LAGS_KEPT = 400
_QUESTION = "?"

logger = logging.getLogger(__name__)

# From sending a beat to having acted on it, in seconds; of the worker that listens.
_lags: deque[float] = deque(maxlen=_LAGS_KEPT)


class FeedLostError(Exception):
    """No beat came back for as long as a lease."""


def is_needed() -> bool:
    """Say whether other hosts may change what this one remembers."""
    return connection.vendor == "postgresql"


def clock() -> int:
    """Return the nanoseconds by which leases are measured; they pass while a machine sleeps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def lag_ms() -> tuple[float, float] | None:
    """Return median and 99th percentile of the lag in milliseconds, where this process listens.

    It is the time from just before a change is committed until all workers here judge by it.
    """
    lags = sorted(_lags)
    if not lags:
        return None
    return lags[len(lags) // 2] * 1000, lags[len(lags) * 99 // 100] * 1000


def announce(database: BaseDatabaseWrapper, marks: Iterable[str]) -> None:
    """Tell other hosts what this transaction changes, at the moment when it is committed.

    There are at most a few hundred marks: PostgreSQL takes notes of less than 8000 bytes.
    """
    if database.vendor != "postgresql":
        return
    note = " ".join([this_host(Path(settings.STATE_DIR)), *marks])
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, note])


def confirmations(hosts: Collection[str], timeout: float) -> set[str]:
    """Return which of these hosts know all that is committed by now, having waited for them.

    `timeout` is in seconds. Raises psycopg.Error when the database cannot be asked.
    """
    channel, confirmed = f"{CHANNEL}_{uuid.uuid4().hex}", set[str]()
    deadline = time.monotonic() + timeout
    with _listening([channel]) as listener:
        listener.execute("SELECT pg_notify(%s, %s)", [CHANNEL, f"{_QUESTION} {channel}"])
        while not confirmed >= set(hosts) and (left := deadline - time.monotonic()) > 0:
            confirmed.update(note.payload for note in listener.notifies(timeout=left, stop_after=1))
    return confirmed & set(hosts)


def prepare() -> None:
    """Distrust what is left of a lease that somebody took before this machine was started."""
    if generations.trusted_until() > clock() + _lease_ns():
        generations.trust_until(0)


def run(stop: threading.Event) -> None:
    """Listen for this host, or stand by for the worker that does, until told to stop."""
    if not is_needed():
        return
    beat_seconds = settings.INVALIDATION_LEASE_SECONDS / BEATS_IN_A_LEASE
    with open(Path(settings.STATE_DIR) / "feed.lock", "w") as lock:
        while not _is_locked(lock):
            if stop.wait(beat_seconds):
                return
        is_told = False
        while not stop.is_set():
            listening = _Listening(beat_seconds, stop)
            try:
                listening.follow()
            except (psycopg.Error, FeedLostError, OSError) as error:
                # Once, not with each attempt to hear again.
                if listening.is_heard or not is_told:
                    logger.warning("The feed is lost; keys are judged from the database: %s", error)
                is_told = True
            stop.wait(beat_seconds)


class _Listening:
    """One connection's worth of listening."""

    def __init__(self, beat_seconds: float, stop: threading.Event) -> None:
        self.beat_seconds = beat_seconds
        self.stop = stop
        self.host = this_host(Path(settings.STATE_DIR))
        self.beats = f"{CHANNEL}_{uuid.uuid4().hex}"
        self.heard_at = clock()
        self.is_heard = False

    def follow(self) -> None:
        """Act on each note; raises FeedLostError or psycopg.Error when no more can be heard."""
        is_over = threading.Event()
        with _listening([CHANNEL, self.beats]) as listener:
            # Whatever was changed until now, nobody told.
            generations.bump(["*"])
            self.heard_at = clock()
            heart = threading.Thread(target=self._beat, args=(is_over,), daemon=True)
            heart.start()
            try:
                while not self.stop.is_set():
                    self._hear(listener)
            finally:
                is_over.set()
                heart.join(self.beat_seconds)

    def _hear(self, listener: psycopg.Connection) -> None:
        # To the end of what came at once: stopping earlier would lose the rest.
        for note in list(listener.notifies(timeout=self.beat_seconds, stop_after=1)):
            if note.channel == self.beats:
                self._trust(int(note.payload))
                continue
            sender, *marks = note.payload.split()
            if sender == _QUESTION:
                listener.execute("SELECT pg_notify(%s, %s)", [marks[0], self.host])
            else:
                # Also of this host: its writer may have died before its commit was seen.
                generations.bump(marks)
        if clock() > self.heard_at + _lease_ns():
            raise FeedLostError("no beat came back within the lease")

    def _trust(self, sent_at: int) -> None:
        self.heard_at = clock()
        generations.trust_until(sent_at + _lease_ns())
        if not self.is_heard:
            logger.info("The feed is heard; keys are judged from memory.")
        self.is_heard = True
        _lags.append((self.heard_at - sent_at) / 1e9)

    def _beat(self, is_over: threading.Event) -> None:
        # The way that all changes go, so that a beat cannot come where they do not.
        try:
            with _connect() as sender:
                while not is_over.wait(self.beat_seconds):
                    sender.execute("SELECT pg_notify(%s, %s)", [self.beats, str(clock())])
        except psycopg.Error as error:
            # Whoever listens misses the beats, and begins again.
            logger.info("No beat of the feed can be sent: %s", error)


@contextmanager
def _listening(channels: Iterable[str]) -> Iterator[psycopg.Connection]:
    with _connect(settings.FEED_DATABASE_URL) as listener:
        for channel in channels:
            listener.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
        yield listener


def _connect(url: str = "") -> psycopg.Connection:
    """Return a connection of its own to this address, or to where all queries go."""
    lease = settings.INVALIDATION_LEASE_SECONDS
    patience: dict[str, Any] = {
        "application_name": APPLICATION_NAME,
        "connect_timeout": 2,
        "keepalives_idle": 1,
        "keepalives_interval": 1,
        "keepalives_count": 3,
        "tcp_user_timeout": int(max(lease, 1) * 2000),
    }
    parameters = {"conninfo": url} if url else connection.get_connection_params()
    return psycopg.connect(**{**parameters, **patience, "autocommit": True})


def _lease_ns() -> int:
    return int(settings.INVALIDATION_LEASE_SECONDS * 1e9)


def _is_locked(lock: Any) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
