"""How long a database takes: its driver, asked through Django, queries and rows together."""

from collections.abc import Callable
from time import perf_counter
from types import TracebackType
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper


class Stopwatch:
    """While it is entered, `seconds` adds up what queries of this thread take.

    SQLite finds most rows only when they are fetched, so both are timed.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._connection = connections[DEFAULT_DB_ALIAS]

    def __enter__(self) -> "Stopwatch":
        self._connection.make_cursor = lambda cursor: _TimedCursor(  # type: ignore[method-assign]
            cursor, self._connection, self
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del self._connection.make_cursor

    def time(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Return what that returns, having added the time that it took."""
        began = perf_counter()
        try:
            return work(*arguments)
        finally:
            self.seconds += perf_counter() - began


class _TimedCursor(CursorWrapper):
    """Asks and fetches as Django's own does."""

    def __init__(self, cursor: Any, db: BaseDatabaseWrapper, stopwatch: Stopwatch) -> None:
        super().__init__(cursor, db)
        self._stopwatch = stopwatch

    def execute(self, sql: Any, params: Any = None) -> Any:
        return self._stopwatch.time(super().execute, sql, params)

    def executemany(self, sql: Any, param_list: Any) -> Any:
        return self._stopwatch.time(super().executemany, sql, param_list)

    def fetchone(self) -> Any:
        return self._stopwatch.time(self.cursor.fetchone)

    def fetchmany(self, size: int) -> Any:
        return self._stopwatch.time(self.cursor.fetchmany, size)

    def fetchall(self) -> Any:
        return self._stopwatch.time(self.cursor.fetchall)
