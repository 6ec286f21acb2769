"""Counting windows for all processes of one host: a store of the `limits` library in a file."""

import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from limits.storage import SlidingWindowCounterSupport, Storage

# Windows that are over are forgotten at every so many-th use that is counted.
_SWEEP_EVERY = 4096


class LocalStorage(Storage, SlidingWindowCounterSupport):
    """Sliding windows in an SQLite file at `path`, exact however many processes share it.

    It survives their restarts. What a power cut loses are counts of the last moments, so
    nothing waits for the disk. Who waits longer than `timeout` seconds gets an error.
    """

    STORAGE_SCHEME = ["local"]
    base_exceptions = (sqlite3.Error, OSError)

    def __init__(
        self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any
    ) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self._path = Path(options["path"])
        self._timeout = float(options["timeout"])
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0
        self._counted = 0

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        now = time.time()
        with self._lock:
            previous, current = _read(self._connect(), key, int(now // expiry))
        ends = expiry - now % expiry
        return previous, ends if previous else 0.0, current, ends + expiry

    def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        now = time.time()
        number = int(now // expiry)
        with self._lock, _transaction(self._connect()) as connection:
            previous, current = _read(connection, key, number)
            used = math.floor(previous * (expiry - now % expiry) / expiry + current)
            if used + amount > limit:
                return False
            row = (key, number, previous, current + amount, (number + 2) * expiry)
            connection.execute("INSERT OR REPLACE INTO windows VALUES (?, ?, ?, ?, ?)", row)
            self._counted += 1
            if self._counted % _SWEEP_EVERY == 0:
                connection.execute("DELETE FROM windows WHERE matters_until < ?", (now,))
            return True

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        self.clear(key)

    def clear(self, key: str) -> None:
        with self._lock:
            self._connect().execute("DELETE FROM windows WHERE name = ?", (key,))

    def reset(self) -> int | None:
        with self._lock:
            return self._connect().execute("DELETE FROM windows").rowcount

    def check(self) -> bool:
        with self._lock:
            return self._connect().execute("SELECT 1").fetchone() == (1,)

    def _no_fixed_windows(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("Only sliding windows are counted here.")

    incr: Callable[..., int] = _no_fixed_windows
    get: Callable[..., int] = _no_fixed_windows
    get_expiry: Callable[..., float] = _no_fixed_windows

    def _connect(self) -> sqlite3.Connection:
        # A connection does not outlive a fork.
        if self._connection is None or self._process != os.getpid():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = _open(self._path, self._timeout)
            self._process = os.getpid()
        return self._connection


def _open(path: Path, timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=timeout, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS windows (name TEXT PRIMARY KEY, number INTEGER NOT NULL, "
        "previous INTEGER NOT NULL, current INTEGER NOT NULL, matters_until REAL NOT NULL) "
        "WITHOUT ROWID"
    )
    return connection


def _read(connection: sqlite3.Connection, name: str, number: int) -> tuple[int, int]:
    """Return the uses in the window before this number, and in this."""
    query = "SELECT number, previous, current FROM windows WHERE name = ?"
    row = connection.execute(query, (name,)).fetchone()
    match row:
        case (at, previous, current) if at == number:
            return previous, current
        case (at, _previous, current) if at == number - 1:
            return current, 0
    return 0, 0


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
