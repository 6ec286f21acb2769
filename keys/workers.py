"""What a serving process does beside answering: hear of changes, count, keep house, report.

Started with the first request that a process answers, never by commands: they come and go.
"""

import logging
import os
import threading
import uuid
from collections.abc import Callable
from datetime import datetime
from multiprocessing.util import Finalize
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.db.models.functions import Now
from django.utils import timezone

from keys import feed, folding, generations, snapshots, usage
from keys.hosts import this_host
from keys.models import Worker

REPORT_SECONDS = 5.0
_REPORTED = [
    "seen_at",
    "lag_p50_ms",
    "lag_p99_ms",
    "is_trusting",
    "remembered",
    "hits",
    "misses",
]
_HOUSEKEEPING_SECONDS = 1.0
_STOP_SECONDS = 5.0

logger = logging.getLogger(__name__)


class _Running:
    """The threads of one process, and the row in which it reports."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.id = uuid.uuid4().hex
        self.started_at: datetime = timezone.now()
        self.stop = threading.Event()
        self.threads = [
            threading.Thread(target=_run, args=(work, self.stop), name=name, daemon=True)
            for name, work in _tasks(self).items()
        ]
        for thread in self.threads:
            thread.start()


_running: _Running | None = None
_lock = threading.Lock()


def start() -> None:
    """Begin what this process does beside answering; when it has begun, nothing happens.

    Raises OSError when STATE_DIR cannot be used.
    """
    global _running
    # A child process has its parent's memory, but none of its threads.
    if _running is not None and _running.pid == os.getpid():
        return
    with _lock:
        if _running is not None and _running.pid == os.getpid():
            return
        feed.prepare()
        usage.keep_journal(Path(settings.STATE_DIR))
        _running = _Running()
        # Servers' workers end as processes of multiprocessing do, where atexit is not heard.
        Finalize(None, stop, exitpriority=0)


def stop() -> None:
    """End the threads and take the process off the list of workers, if it began."""
    global _running
    with _lock:
        running, _running = _running, None
    if running is None or running.pid != os.getpid():
        return
    running.stop.set()
    for thread in running.threads:
        thread.join(_STOP_SECONDS)
    usage.drop_journal()
    try:
        Worker.objects.filter(pk=running.id).delete()
    except DatabaseError as error:
        logger.warning("Worker %s could not sign off: %s", running.id, error)


def repeat(work: Callable[[], object], stop: threading.Event, seconds: float) -> None:
    """Do the work every so many seconds until told to stop, whatever goes wrong meanwhile.

    A database connection that broke is opened anew the next time.
    """
    while True:
        try:
            close_old_connections()
            generations.settle()
            work()
        except Exception as error:
            logger.exception("%s goes on after: %s", threading.current_thread().name, error)
        if stop.wait(seconds):
            return


def report(worker_id: str, started_at: datetime) -> None:
    """Write down that this worker lives, and forget those that have not for long."""
    lag = feed.lag_ms() or (None, None)
    counts = snapshots.counts()
    # By the database's clock: those of hosts differ.
    Worker.objects.bulk_create(
        [
            Worker(
                id=worker_id,
                host=this_host(Path(settings.STATE_DIR)),
                pid=os.getpid(),
                started_at=started_at,
                seen_at=Now(),
                lag_p50_ms=lag[0],
                lag_p99_ms=lag[1],
                is_trusting=snapshots.is_trusting(),
                remembered=counts.remembered,
                hits=counts.from_memory,
                misses=counts.from_database,
            )
        ],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=_REPORTED,
    )
    Worker.objects.forgotten().delete()


def _tasks(running: _Running) -> dict[str, Callable[[threading.Event], None]]:
    def report_for_it() -> None:
        report(running.id, running.started_at)

    return {
        "keyhaven-feed": feed.run,
        "keyhaven-fold": folding.run,
        "keyhaven-house": lambda stop: repeat(generations.keep_house, stop, _HOUSEKEEPING_SECONDS),
        "keyhaven-report": lambda stop: repeat(report_for_it, stop, REPORT_SECONDS),
    }


def _run(work: Callable[[threading.Event], None], stop: threading.Event) -> None:
    try:
        while not stop.is_set():
            try:
                work(stop)
                return
            except Exception:
                logger.exception("%s begins again.", threading.current_thread().name)
                stop.wait(1)
    finally:
        connection.close()
