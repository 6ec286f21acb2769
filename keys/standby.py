"""Reads that may be some moments old come from a standby of the database, where there is one.

These are tables that somebody takes away: exports, and the reports of staff. Whoever judges
a key, decides who may do what, or shows what was just changed, reads the primary.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, OperationalError

ALIAS = "standby"

Row = TypeVar("Row")
logger = logging.getLogger(__name__)

_may_be_old: ContextVar[bool] = ContextVar("may_be_old", default=False)


class StandbyRouter:
    """Sends to the standby what is read by `rows`, and nothing else."""

    def db_for_read(self, model: type, **hints: Any) -> str:
        return ALIAS if _may_be_old.get() else DEFAULT_DB_ALIAS

    def db_for_write(self, model: type, **hints: Any) -> str:
        return DEFAULT_DB_ALIAS

    def allow_relation(self, first: Any, second: Any, **hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == DEFAULT_DB_ALIAS


def rows(find: Callable[[], Iterable[Row]]) -> Iterator[Row]:
    """Yield what `find` finds, read from the standby if there is one that answers."""
    if ALIAS not in settings.DATABASES:
        yield from find()
        return
    has_begun = False
    try:
        for row in _from_standby(find):
            has_begun = True
            yield row
    except OperationalError as error:
        # Half a table cannot be taken back.
        if has_begun:
            raise
        logger.warning("The standby does not answer, the primary is asked: %s", error)
        yield from find()


def _from_standby(find: Callable[[], Iterable[Row]]) -> Iterator[Row]:
    # What reads the rows may do anything between two of them.
    with _reading():
        found = iter(find())
    while True:
        with _reading():
            try:
                row = next(found)
            except StopIteration:
                return
        yield row


@contextmanager
def _reading() -> Iterator[None]:
    token = _may_be_old.set(True)
    try:
        yield
    finally:
        _may_be_old.reset(token)
