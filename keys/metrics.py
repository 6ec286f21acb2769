"""What is measured while it happens, for Prometheus. What tables or files know is read there.

The processes of a host write into files in STATE_DIR, so that whichever is asked answers for
all of them (prometheus-client's multi-process mode).
"""

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

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram  # noqa: E402
from prometheus_client.multiprocess import MultiProcessCollector  # noqa: E402

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
    WORK.labels(work).observe(time.perf_counter() - started)


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
