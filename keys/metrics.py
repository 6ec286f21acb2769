"""What is measured while it happens, for Prometheus. What tables or files know is read there.

The processes of a host write into files in STATE_DIR, so that whichever is asked answers for
all of them (prometheus-client's multi-process mode).
"""

import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"


def _prepare() -> None:
    """Say where measures are kept, before the library is imported: it looks once."""
    directory = Path(settings.STATE_DIR) / "metrics"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return  # `check --deploy` says so; each process then answers for itself.
    os.environ.setdefault(_DIRECTORY, str(directory))


_prepare()

from prometheus_client import (  # noqa: E402
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    values,
)
from prometheus_client.mmap_dict import MmapedDict  # noqa: E402
from prometheus_client.multiprocess import MultiProcessCollector  # noqa: E402

logger = logging.getLogger(__name__)

_ROOM = 1 << 16


class ReservedFile(MmapedDict):
    """A file of measures that has its place on the disk before anything is stored.

    The library maps files with holes into memory: a store into one of these, while the disk
    is full, would end the process. Here it is an OSError, and nothing was stored.
    """

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        if not read_mode:
            _reserve(filename, _ROOM)
        super().__init__(filename, read_mode)

    def _init_value(self, key: str) -> None:
        # With what the library adds to each key, and more.
        size = len(key.encode()) + 64
        if self._used + size > self._capacity:
            _reserve(self._fname, self._capacity * 2)
        super()._init_value(key)


def _reserve(filename: str, size: int) -> None:
    descriptor = os.open(filename, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        if not os.fstat(descriptor).st_size:
            os.unlink(filename)  # Nobody could read it.
        raise
    finally:
        os.close(descriptor)


values.MmapedDict = ReservedFile  # type: ignore[misc]

# Files of processes that ended count on for that long: a restart is no new beginning.
_KEPT_SECONDS = 86400
_PROCESS = re.compile(r"_(\d+)\.db\Z")
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REQUESTS = Histogram(
    "keyhaven_request_seconds",
    "Requests and how long their answer took; verifications that the gate answers are not in it.",
    ["method", "route", "status"],
    buckets=_BUCKETS,
)
VERIFICATIONS = Counter(
    "keyhaven_verifications",
    "Judgements of keys, by outcome, once they are in the tables.",
    ["outcome"],
)
WORK = Histogram(
    "keyhaven_work_seconds",
    "How long work in the background took.",
    ["work"],
    buckets=_BUCKETS,
)


@contextmanager
def measured(work: str) -> Iterator[None]:
    """Measure how long what is inside takes, if it succeeds."""
    started = time.perf_counter()
    yield
    with _best_effort():
        WORK.labels(work).observe(time.perf_counter() - started)


def note_request(method: str, route: str, status: int, seconds: float) -> None:
    """Measure a request that was answered."""
    with _best_effort():
        REQUESTS.labels(method, route, str(status)).observe(seconds)


def note_verifications(outcome: str, requests: int) -> None:
    """Measure that so many judgements of this outcome are in the tables."""
    with _best_effort():
        VERIFICATIONS.labels(outcome).inc(requests)


@contextmanager
def _best_effort() -> Iterator[None]:
    # On a full disk measures are lost, and nothing else.
    try:
        yield
    except OSError as error:
        logger.debug("That is not measured: %s", error)


def registry() -> CollectorRegistry:
    """Return what all processes of this host measured."""
    found = CollectorRegistry()
    directory = os.environ.get(_DIRECTORY)
    if directory is None:
        found.register(REGISTRY)
    else:
        _forget_old(Path(directory))
        MultiProcessCollector(found, directory)
    return found


def _forget_old(directory: Path) -> None:
    since = time.time() - _KEPT_SECONDS
    for path in directory.glob("*.db"):
        process = _PROCESS.search(path.name)
        if process and path.stat().st_mtime < since and not _lives(int(process[1])):
            path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
