"""Reading the segments of this host, whoever wrote them."""

import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keys.journal.format import (
    COUNT,
    HEAD,
    MAGIC,
    RECORD,
    SUFFIX,
    TEXT_LENGTH,
    UNFINISHED,
    Wording,
    decode,
)

_ABANDONED_AFTER = 60.0


class Reader:
    """A segment as it is read, by whoever adds it to the tables."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.id = path.name.removesuffix(SUFFIX)
        self.path = path
        self._descriptor = descriptor
        # Asked first: what is counted after that is all there will ever be.
        self.is_complete = _try_lock(descriptor)
        head = os.pread(descriptor, len(MAGIC) + COUNT.size, 0)
        self.is_readable = head.startswith(MAGIC)
        # Of how many records it holds; a writer that lives may add some. A damaged head may
        # tell of more than there is room for.
        told: int = COUNT.unpack_from(head, len(MAGIC))[0] if self.is_readable else 0
        self.count = min(told, max(0, os.fstat(descriptor).st_size - HEAD) // RECORD.size)

    def records(self, first: int, limit: int) -> bytes:
        """Return the records from number `first` on, no more than `limit`; SPLIT parts them."""
        wanted = max(0, min(self.count - first, limit)) * RECORD.size
        found = os.pread(self._descriptor, wanted, HEAD + first * RECORD.size)
        return found[: len(found) // RECORD.size * RECORD.size]

    def wording(self, number: int) -> Wording:
        """Return the text to which a record refers; an empty one if the file is damaged."""
        try:
            (length,) = TEXT_LENGTH.unpack(os.pread(self._descriptor, TEXT_LENGTH.size, number))
            return decode(os.pread(self._descriptor, length, number + TEXT_LENGTH.size))
        except (struct.error, ValueError):
            return Wording()


def segments(directory: Path) -> list[Path]:
    """Return the segments that are there, oldest first."""
    return sorted(directory.glob(f"*{SUFFIX}"))


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """Open a segment to read. Raises FileNotFoundError when it is gone."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield Reader(path, descriptor)
    finally:
        os.close(descriptor)


def remove_abandoned(directory: Path) -> None:
    """Remove what processes left that were ended while they began a segment."""
    for path in directory.glob(f"*{UNFINISHED}"):
        try:
            if time.time() - path.stat().st_mtime > _ABANDONED_AFTER:
                path.unlink()
        except FileNotFoundError:
            continue


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            return False
        raise
    return True
