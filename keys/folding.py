"""Adding what the journals of this host hold to the tables of usage: each use exactly once.

How far a segment was added is stored with what was added, in one transaction. Whatever
ends a process or a connection, before or after: the next fold goes on from there.
"""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, Error, close_old_connections, connection, transaction
from django.utils import timezone

from keys import decisions, hosts, journal, metrics, tallies
from keys.decisions import Judged
from keys.journal import Reader
from keys.models import JournalSegment
from keys.records import Records
from keys.tallies import Tally

# How long workers wait between two folds: the longer the last one took, the longer.
FOLD_SECONDS = 0.5
_WAIT_PER_SECOND, _LONGEST_WAIT = 100.0, 5.0
# So many uses are added in one transaction, and so many decisions at most. Uses that are the
# same are added as one.
_RECORDS_AT_ONCE = 200_000
_GROUPS_AT_ONCE = 20_000
_DECISIONS_AT_ONCE = 100
# Shorter than the time after which PostgreSQL ends one of two that wait for each other:
# a fold can be tried again, what somebody else does cannot.
_LOCK_TIMEOUT = "500ms"

# Under the directory of a host's state. It was changed last when the next fold is due.
_LOCK = "fold.lock"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backlog:
    """What this host's journals hold that is not in the tables: uses, and since when."""

    records: int
    seconds: float


class OvertakenError(DatabaseError):
    """Somebody else added the same uses meanwhile; nothing was added twice."""


@dataclass
class _Batch:
    """Uses that are added together, and how far that is in each segment."""

    # Segment -> (number of the first record that is added, number after the last).
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    finished: dict[str, Path] = field(default_factory=dict)
    tallies: list[Tally] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    # Whether there was more than is added at once.
    is_cut: bool = False

    @property
    def records(self) -> int:
        return sum(end - start for start, end in self.spans.values())


def fold_once(directory: Path | None = None, *, wait: bool = False) -> int | None:
    """Add all that is in the journals now to the tables; return how many uses that were.

    None: another process is at it, and we were not to `wait`. `directory` is that of this
    host's state. Raises django.db.Error, and OSError.
    """
    directory = directory or settings.STATE_DIR
    files = journal_directory(directory)
    with _alone(directory, wait) as is_alone:
        if not is_alone:
            return None
        journal.remove_abandoned(files)
        added = 0
        while True:
            batch = _read(files)
            is_any = bool(batch.records or batch.finished)
            if is_any:
                with metrics.measured("fold"):
                    _add(batch, hosts.this_host(directory))
                _measure(batch.tallies)
            added += batch.records
            # What came meanwhile is for the next time: the more there is, the less it costs.
            # So is what cannot be read, which holds up nobody else.
            if not batch.is_cut or not is_any:
                return added


def run(stop: threading.Event, directory: Path | None = None) -> None:
    """Fold again and again until `stop` is set; what goes wrong is tried again."""
    directory = directory or settings.STATE_DIR
    done: dict[str, int] | None = None
    is_failing = False
    last_tidied = time.monotonic()
    while not stop.is_set():
        try:
            close_old_connections()
            there = _counts(journal_directory(directory))
            if there != done and _is_due(directory):
                started = time.monotonic()
                done = there if fold_once(directory) is not None else None
                _put_off(directory, (time.monotonic() - started) * _WAIT_PER_SECOND)
            if time.monotonic() - last_tidied > 60:
                last_tidied = time.monotonic()
                decisions.tidy(now=timezone.now())
            if is_failing:
                _log.info("Uses are added to the tables again.")
            is_failing = False
        except (Error, OSError) as error:
            if not is_failing:
                _log.warning("Uses wait in the journal: %s", error)
            is_failing = True
            connection.close()
        except Exception:
            _log.exception("Uses wait in the journal.")
            connection.close()
        stop.wait(FOLD_SECONDS)
    connection.close()


def _is_due(directory: Path) -> bool:
    """Say whether the workers of this host have waited long enough since one of them folded."""
    try:
        wait = (directory / _LOCK).stat().st_mtime - time.time()
    except FileNotFoundError:
        return True
    # A clock that was put back is no reason to wait.
    return wait <= 0 or wait > _LONGEST_WAIT


def _put_off(directory: Path, seconds: float) -> None:
    due = time.time() + min(max(seconds, FOLD_SECONDS), _LONGEST_WAIT)
    os.utime(directory / _LOCK, (due, due))


def backlog(directory: Path | None = None) -> Backlog:
    """Return what this host counted that is not in the tables yet."""
    files = journal.segments(journal_directory(directory or settings.STATE_DIR))
    records, oldest = 0, None
    positions = _positions(path.stem for path in files)
    for segment in _open_segments(files):
        position = positions.get(segment.id, 0)
        records += max(0, segment.count - position)
        for _group, detail in journal.SPLIT.iter_unpack(segment.records(position, 1)):
            at = journal.DETAIL.unpack(detail)[0]
            oldest = at if oldest is None else min(oldest, at)
    seconds = 0.0 if oldest is None else max(0.0, time.time() - oldest / 1e6)
    return Backlog(records, seconds)


def journal_directory(directory: Path) -> Path:
    """Return where the journals of a host lie that keeps its state in this directory."""
    return directory / "journal"


@contextmanager
def _alone(directory: Path, wait: bool) -> Iterator[bool]:
    """Yield whether no other process of this host folds meanwhile."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _open_segments(files: Iterable[Path]) -> Iterator[Reader]:
    """Yield the segments in these files, each while it is open."""
    for path in files:
        try:
            with journal.reading(path) as segment:
                yield segment
        except FileNotFoundError:
            continue


def _counts(directory: Path) -> dict[str, int]:
    """Return what tells whether there is something new: how much is in each segment."""
    return {
        # One that is complete is to be removed.
        segment.id: -1 if segment.is_complete else segment.count
        for segment in _open_segments(journal.segments(directory))
    }


def _positions(segments: Iterable[str]) -> dict[str, int]:
    rows = JournalSegment.objects.filter(pk__in=list(segments))
    return dict(rows.values_list("pk", "position"))


def _read(directory: Path) -> _Batch:
    """Return what is to be added next; put aside what cannot be read."""
    batch = _Batch()
    files = journal.segments(directory)
    positions = _positions(path.stem for path in files)
    for segment in _open_segments(files):
        if segment.is_complete and not segment.is_readable:
            _log.error("%s is damaged: what it held is not counted.", segment.path)
            segment.path.rename(segment.path.with_suffix(".damaged"))
            continue
        start = positions.get(segment.id, 0)
        records = Records(
            segment,
            start,
            at_most=_RECORDS_AT_ONCE - batch.records,
            groups=_GROUPS_AT_ONCE - len(batch.tallies),
        )
        if records.end > start:
            batch.spans[segment.id] = (start, records.end)
            batch.tallies += records.tallies()
            batch.judged += records.judged(_DECISIONS_AT_ONCE // len(files))
        if records.end < segment.count:
            batch.is_cut = True
        elif segment.is_complete:
            batch.finished[segment.id] = segment.path
    return batch


def _add(batch: _Batch, host: str) -> None:
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
        _advance(batch, host)
        known = tallies.apply(batch.tallies)
        decisions.remember(each for each in batch.judged if each.secret_id in known)
    for path in batch.finished.values():
        path.unlink(missing_ok=True)


def _measure(added: Iterable[Tally]) -> None:
    for each in added:
        if not each.is_grant:
            metrics.note_verifications(each.outcome, each.requests)


def _advance(batch: _Batch, host: str) -> None:
    """Store how far each segment is added then; raise OvertakenError if it is further already."""
    now = timezone.now()
    for segment, (start, end) in batch.spans.items():
        values = {"position": end, "updated_at": now}
        if start:
            rows = JournalSegment.objects.filter(pk=segment, position=start)
            is_ours = rows.update(**values) == 1
        else:
            defaults = {"host": host, **values}
            _row, is_ours = JournalSegment.objects.get_or_create(pk=segment, defaults=defaults)
        if not is_ours:
            raise OvertakenError(f"{segment} was added from {start} on already.")
    ended = JournalSegment.objects.filter(pk__in=batch.finished, finished_at=None)
    ended.update(finished_at=now)
