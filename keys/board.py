"""The numbers in shared memory by which the processes of a host tell each other of changes.

Each key, each organization and "everything" has a slot, a number that is another after
each change of what verdicts depend on. A slot counts in its halves the changes that were
started and those that are finished: a writer starts before its transaction can commit and
finishes after. While the halves differ, nobody remembers what they read. A writer that dies
in between leaves a slot that makes things slow, never wrong, until `settle_abandoned` finds
no writer alive.
"""

import fcntl
import mmap
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

EVERYTHING = 0
# Counts what happens in any slot: who reads rows before knowing whose they are compares it.
CLOCK = 1
# Until when (CLOCK_BOOTTIME, nanoseconds) changes of other hosts are heard of in time.
TRUST = 2
_KEYS, _ORGANIZATIONS = 4096, 1024
_FIRST_KEY = 3
_FIRST_ORGANIZATION = _FIRST_KEY + _KEYS
_COUNT = _FIRST_ORGANIZATION + _ORGANIZATIONS
_SIZE = _COUNT * 8
_HALF = 0xFFFFFFFF


class StateError(OSError):
    """The state directory cannot be used: nothing is changed that workers would not see."""


def key_slot(key_id: int) -> int:
    """Return the number of a key's slot; other keys may share it."""
    return _FIRST_KEY + key_id % _KEYS


def organization_slot(organization_id: int) -> int:
    """Return the number of an organization's slot; others may share it."""
    return _FIRST_ORGANIZATION + organization_id % _ORGANIZATIONS


def is_settled(value: int) -> bool:
    """Say whether no change was under way when a slot had this value."""
    return value >> 32 == value & _HALF


class Board:
    """The slots of one state directory, as this process sees and changes them."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "generations"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = _open(self.path)
            os.posix_fallocate(file, 0, _SIZE)
            self._inode = os.fstat(file).st_ino
            self.slots = memoryview(mmap.mmap(file, _SIZE)).cast("Q")
            os.close(file)
            self._changing = _open(directory / "generations.lock")
            self._writing = _open(directory / "writers.lock")
        except OSError as error:
            raise StateError(f"The state directory {directory} cannot be used: {error}") from error
        self._threads = Lock()
        # Marks of this process that are not finished; while there are any it holds a lock.
        self._unfinished = 0
        with self._exclusively():
            if self.slots[EVERYTHING] == 0:
                # Nobody's memory of a board that was here before fits this one.
                self.slots[EVERYTHING] = _settled(int(time.time()))

    def is_current(self) -> bool:
        """Say whether this is still the file that other processes find."""
        try:
            return self.path.stat().st_ino == self._inode
        except OSError:
            return False

    def start(self, slots: Iterable[int]) -> None:
        """Say that what these slots stand for is about to change. Raises StateError."""
        slots = list(slots)
        if not self.is_current():
            raise StateError(f"{self.path} was replaced while this process ran: restart it.")
        with self._exclusively():
            if not self._unfinished:
                fcntl.flock(self._writing, fcntl.LOCK_SH)
            self._unfinished += len(slots)
            for slot in slots:
                value = self.slots[slot]
                self.slots[slot] = ((value >> 32) + 1 & _HALF) << 32 | value & _HALF
            self._tick()

    def finish(self, slots: Iterable[int]) -> None:
        """Say that changes of these slots are committed, or will never be."""
        slots = list(slots)
        with self._exclusively():
            # The clock first: who read rows before the commit finds it changed as soon as it
            # finds the slot settled.
            self._tick()
            for slot in slots:
                value = self.slots[slot]
                self.slots[slot] = value & _HALF << 32 | value + 1 & _HALF
            self._unfinished -= len(slots)
            if not self._unfinished:
                fcntl.flock(self._writing, fcntl.LOCK_UN)

    def renew(self, slots: Iterable[int]) -> None:
        """Give slots another value: whatever is remembered by the old one is forgotten."""
        slots = list(slots)
        self.start(slots)
        self.finish(slots)

    def settle_abandoned(self) -> int:
        """Settle what writers left that died, if none is alive now; return how many slots."""
        with self._exclusively():
            if self._unfinished:
                return 0
            try:
                fcntl.flock(self._writing, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            try:
                abandoned = [
                    slot
                    for slot, value in enumerate(self.slots)
                    if slot not in (CLOCK, TRUST) and not is_settled(value)
                ]
                self._tick()
                for slot in abandoned:
                    self.slots[slot] = _settled((self.slots[slot] >> 32) + 1)
            finally:
                fcntl.flock(self._writing, fcntl.LOCK_UN)
        return len(abandoned)

    def _tick(self) -> None:
        self.slots[CLOCK] = self.slots[CLOCK] + 1 & (1 << 63) - 1

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        # The lock of a file is the process's; threads have one of their own.
        with self._threads:
            fcntl.flock(self._changing, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._changing, fcntl.LOCK_UN)


def _settled(number: int) -> int:
    number &= _HALF
    return number << 32 | number


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
