"""What changed on this host: numbers in shared memory that every process of it watches.

Whoever remembers something read the numbers of its slots before (board.py), and believes it
only while they are the same: a change is seen by the next request of every process, at the
price of reading three numbers.

Statements are recognised on their way to the database, so that no write can be forgotten:
`note_key` and `note_organization` only say that what a transaction changes belongs to
these; what nobody said that of is a change of everything.
"""

import os
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from threading import Lock
from typing import Any

from django.conf import settings
from django.core.signals import request_finished
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from keys.board import (
    EVERYTHING,
    TRUST,
    Board,
    key_slot,
    organization_slot,
)
from keys.statements import Concern, concern_of, is_insert, is_rollback

# Of more keys than this in one transaction, other hosts are told that everything changed.
_MOST_ANNOUNCED = 100

# Tells other hosts, in the transaction of a change, what it changes: `k:12`, `o:3` or `*`.
announce: Callable[[BaseDatabaseWrapper, list[str]], None] | None = None

# Noted where a change concerns no organization: otherwise it would be one of everything.
NO_ORGANIZATION = 0

_OF_KEYS = (Concern.KEY, Concern.KEY_OR_ORGANIZATION)
_is_newborn: ContextVar[bool] = ContextVar("is_newborn", default=False)

_board: Board | None = None
_opening = Lock()


def board() -> Board:
    """Return the board of this host, opened at first use. Raises StateError."""
    global _board
    if _board is None:
        with _opening:
            if _board is None:
                _board = Board(Path(settings.STATE_DIR))
    return _board


def bump(names: Iterable[str]) -> None:
    """Let every process of this host read again what changed elsewhere: `k:12`, `o:3` or `*`."""
    board().renew({_slot_named(name) for name in names})


def forget_everything() -> None:
    """Let every process of this host read all again: after a restore, or a change by hand."""
    bump(["*"])


def trust_until(moment: int) -> None:
    """Say until when changes of other hosts are heard of in time (CLOCK_BOOTTIME, ns)."""
    board().slots[TRUST] = moment


def trusted_until() -> int:
    """Return until when what is remembered may be believed where there are other hosts."""
    return board().slots[TRUST]


def keep_house() -> int:
    """Settle what dead writers left, and find the board that is there now; call each second.

    Returns how many slots were settled. Raises StateError.
    """
    while _orphans:
        _orphans.popleft().end()
    _find_board()
    return board().settle_abandoned()


def _find_board() -> None:
    global _board
    if not board().is_current():
        # Somebody cleared the state directory. What was remembered fits no value of the new.
        _board = None


def settle(**kwargs: Any) -> None:
    """Finish what this thread's transactions left that were rolled back; between two tasks.

    Each would be finished by the next write as well, but that may be long in coming.
    """
    for connection in connections.all(initialized_only=True):
        marks = _marks.get(connection)
        if marks is not None and not _is_under_way(connection, marks):
            marks.end()


def note_key(key_id: int) -> None:
    """Say that what this transaction changes in tables of keys concerns this key."""
    _marks_of(_in_transaction()).note(Concern.KEY, f"k:{key_id}")


def note_organization(organization_id: int) -> None:
    """Say that what this transaction changes in tables of organizations concerns this one."""
    marks = _marks_of(_in_transaction())
    marks.note(Concern.ORGANIZATION, f"o:{organization_id}")


@contextmanager
def newborn() -> Iterator[None]:
    """Insert inside what belongs to keys that the transaction makes, and mark nothing.

    Nothing that anybody remembers can depend on a key that was not there. A transaction that
    makes very many would otherwise hold up everybody's memory until its end.
    """
    token = _is_newborn.set(True)
    try:
        yield
    finally:
        _is_newborn.reset(token)


class _Marks:
    """What the transaction under way on one connection changes."""

    def __init__(self) -> None:
        # Whose rows it changes, `k:12` or `o:3`, and which of them are not announced yet.
        self._noted: dict[Concern, set[str]] = {Concern.KEY: set(), Concern.ORGANIZATION: set()}
        self._new: dict[Concern, set[str]] = {Concern.KEY: set(), Concern.ORGANIZATION: set()}
        self._announced: set[str] = set()
        self._started: set[int] = set()
        # Where they are started: it may not be this host's board any more at the end.
        self._board: Board | None = None
        # As it is put on the list of what to call after the commit.
        self.hook = self.end

    def note(self, concern: Concern, name: str) -> None:
        """Let what it changes in tables of this concern be of whoever has that name."""
        if name not in self._noted[concern]:
            self._noted[concern].add(name)
            self._new[concern].add(name)

    def start(self, connection: BaseDatabaseWrapper, concern: Concern) -> None:
        """Mark what a statement changes, before it runs."""
        new = self._not_announced(concern)
        if not new:
            return
        slots = {_slot_named(name) for name in new} - self._started
        if slots:
            where = self._board or board()
            where.start(slots)
            self._board = where
            self._started |= slots
        self._announced |= new
        for names in self._new.values():
            names -= new
        if announce is not None:
            announce(connection, sorted(new) if len(new) <= _MOST_ANNOUNCED else ["*"])

    def roll_back(self) -> None:
        """Announce again what is changed from now on: a part was taken back, with its notes."""
        self._announced.clear()
        for concern, names in self._noted.items():
            self._new[concern] |= names

    def end(self) -> None:
        """Finish: the transaction is over, or never took place."""
        started, self._started = self._started, set()
        where, self._board = self._board, None
        for names in (*self._noted.values(), *self._new.values(), self._announced):
            names.clear()
        if where is None:
            return
        where.finish(started)
        if not where.is_current():
            # Who reads by the board that is there now was told of nothing.
            _find_board()
            forget_everything()

    def abandon(self) -> None:
        """Leave what is started to the process that started it."""
        self._started, self._board = set(), None

    def _not_announced(self, concern: Concern) -> set[str]:
        concerns = [each for each in self._noted if concern in (each, Concern.KEY_OR_ORGANIZATION)]
        if not any(self._noted[each] for each in concerns):
            return {"*"} - self._announced
        return set().union(*(self._new[each] for each in concerns))


def _slot_named(name: str) -> int:
    kind, _colon, number = name.partition(":")
    match kind:
        case "k":
            return key_slot(int(number))
        case "o":
            return organization_slot(int(number))
    return EVERYTHING


_marks: weakref.WeakKeyDictionary[BaseDatabaseWrapper, _Marks] = weakref.WeakKeyDictionary()
# Of connections that went in the middle of a transaction.
_orphans: deque[_Marks] = deque()


def _in_transaction() -> BaseDatabaseWrapper:
    connection = transaction.get_connection()
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("Say what changes inside of a transaction.")
    return connection


def _marks_of(connection: BaseDatabaseWrapper) -> _Marks:
    """Return the marks of the transaction under way; those of one that is over are finished."""
    marks = _marks.get(connection)
    if marks is None:
        marks = _marks[connection] = _Marks()
        # A thread that ends in the middle of a transaction takes its connection along. When
        # that is noticed anybody may hold the board's lock, this thread too: so not now.
        weakref.finalize(connection, _orphans.append, marks)
    if not _is_under_way(connection, marks):
        marks.end()
        if connection.in_atomic_block:
            transaction.on_commit(marks.hook, using=connection.alias)
    return marks


def _is_under_way(connection: BaseDatabaseWrapper, marks: _Marks) -> bool:
    # A rollback, also to a savepoint, drops what would be called after the commit.
    return any(each[1] == marks.hook for each in connection.run_on_commit)


def _watch(execute: Callable, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Mark what a statement changes before it runs: an execute wrapper."""
    connection = context["connection"]
    concern = concern_of(sql)
    if _is_newborn.get() and concern in _OF_KEYS and is_insert(sql):
        concern = None
    if concern is None:
        if connection in _marks and is_rollback(sql):
            _marks[connection].roll_back()
        return execute(sql, params, many, context)
    if not connection.in_atomic_block:
        if not connection.get_autocommit():
            raise transaction.TransactionManagementError("Write inside of transaction.atomic().")
        # So that it is announced with its commit.
        with transaction.atomic(using=connection.alias):
            return _watch(execute, sql, params, many, context)
    _marks_of(connection).start(connection, concern)
    return execute(sql, params, many, context)


def _install(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    if _watch not in connection.execute_wrappers:
        connection.execute_wrappers.append(_watch)


def _forget_after_fork() -> None:
    # Locks of files are shared with the parent; a child has its own.
    global _board, _opening
    _board, _opening = None, Lock()
    _orphans.clear()
    for marks in _marks.values():
        marks.abandon()


def watch() -> None:
    """Watch every statement on every connection from now on."""
    connection_created.connect(_install, dispatch_uid="generations")
    request_finished.connect(settle, dispatch_uid="generations")
    os.register_at_fork(after_in_child=_forget_after_fork)
