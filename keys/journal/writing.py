"""Appending to the journal of this process."""

import fcntl
import mmap
import os
import secrets as random_source
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path

from keys.journal.format import (
    HEAD,
    MAGIC,
    MINUTE,
    RECORD,
    SUFFIX,
    TEXT_LENGTH,
    UNFINISHED,
    Wording,
    encode,
    wording,
)

# Texts that are remembered, so that each is written once a segment: so many, of that size,
# to which each scope adds more than its characters.
_TEXTS_REMEMBERED = 4096
_TEXT_REMEMBERED = 1024
_SCOPE_REMEMBERED = 32


class JournalFull(Exception):  # noqa: N818
    """A use can be written nowhere (the disk is full): who asks must not be let through."""


class Text:
    """What several uses say about themselves: user agent, scopes asked for, method and path.

    Obtained from `Journal.text`; good for as long as anybody keeps it.
    """

    __slots__ = ("encoded", "number", "segment")

    def __init__(self, encoded: bytes) -> None:
        self.encoded = encoded
        # Where it stands in the segment in which it was written last.
        self.segment: _Segment | None = None
        self.number = 0


class Journal:
    """The journal of one process; of any number of threads. A fork begins one of its own."""

    def __init__(self, directory: Path, segment_bytes: int) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self._segment: _Segment | None = None
        self._texts: dict[tuple[str, frozenset[str], str, str], Text] = {}
        _journals.add(self)

    def text(
        self, user_agent: str, scopes: frozenset[str], method: str = "", path: str = ""
    ) -> Text:
        """Return what uses that say the same about themselves are appended with."""
        asked = (user_agent, scopes, method, path)
        found = self._texts.get(asked)
        if found is None:
            found = self._encode(wording(*asked))
            # What was sent is remembered with it, of which it may hold only a part.
            size = len(user_agent) + len(method) + len(path) + len(found.encoded)
            size += sum(len(scope) + _SCOPE_REMEMBERED for scope in scopes)
            if size <= _TEXT_REMEMBERED:
                if len(self._texts) >= _TEXTS_REMEMBERED:
                    self._texts = {}
                self._texts[asked] = found
        return found

    def append(
        self,
        secret_id: int,
        key_id: int,
        at: int,
        outcome: int,
        door: int,
        text: Text,
        cost: int,
        byok_cost: int,
        address: bytes,
        request: bytes,
        flags: int = 0,
    ) -> None:
        """Count a use, for good. Raises JournalFull.

        `at` is in microseconds of UTC since 1970, costs are in millionths, `address` as
        pack_address() returns it, `request` 16 bytes. Outcome and door are numbers of
        OUTCOMES and DOORS.
        """
        with self._lock:
            segment = self._segment
            if segment is None or text.segment is not segment or segment.count >= segment.room:
                segment = self._make_room(text)
            count = segment.count
            RECORD.pack_into(
                segment.memory,
                HEAD + count * RECORD.size,
                secret_id,
                key_id,
                cost,
                byok_cost,
                at // MINUTE,
                text.number,
                outcome,
                door,
                flags,
                at,
                address,
                request,
            )
            segment.count = count + 1
            # Last: until here the record is none.
            segment.committed[0] = count + 1

    def close(self) -> None:
        """Let go of the segment: whoever adds it to the tables knows that it is complete."""
        with self._lock:
            if self._segment is not None:
                self._segment.close()
                self._segment = None

    def _encode(self, words: Wording) -> Text:
        encoded = encode(words)
        if len(encoded) > self._segment_bytes // 4:
            # More scopes than any key has.
            encoded = encode(replace(words, scopes=()))
        return Text(encoded)

    def _make_room(self, text: Text) -> "_Segment":
        segment = self._segment
        if segment is not None:
            if text.segment is not segment:
                segment.add_text(text)
            if text.segment is segment and segment.count < segment.room:
                return segment
        following = _Segment(self._directory, self._segment_bytes)
        if segment is not None:
            segment.close()
        self._segment = following
        following.add_text(text)
        return following

    def _leave_to_parent(self) -> None:
        # In a child, where the lock on the file is the parent's, and any thread that held
        # the other is gone.
        self._lock = threading.Lock()
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.close()


class _Segment:
    """A segment that this process writes."""

    __slots__ = ("_descriptor", "_map", "_texts_start", "committed", "count", "memory", "room")

    def __init__(self, directory: Path, size: int) -> None:
        name = f"{time.time_ns():016x}{random_source.token_hex(8)}"
        # Named so that nobody takes it for one whose writer is gone before it is locked.
        unfinished = directory / (name + UNFINISHED)
        try:
            self._descriptor = os.open(
                unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise JournalFull(f"{directory}: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            # Reserved now, so that no store into the memory finds the disk full.
            os.posix_fallocate(self._descriptor, 0, size)
            os.pwrite(self._descriptor, MAGIC, 0)
            self._map = mmap.mmap(self._descriptor, size)
            os.rename(unfinished, directory / (name + SUFFIX))
        except OSError as error:
            os.close(self._descriptor)
            unfinished.unlink(missing_ok=True)
            raise JournalFull(f"{directory}: {error.strerror}") from error
        self.memory = memoryview(self._map)
        self.committed = self.memory[len(MAGIC) : HEAD].cast("Q")
        self.count = 0
        self._texts_start = size
        self._measure()

    def add_text(self, text: Text) -> None:
        """Write a text, if there is room for it and for a record."""
        start = self._texts_start - TEXT_LENGTH.size - len(text.encoded)
        if start < HEAD + (self.count + 1) * RECORD.size:
            return
        TEXT_LENGTH.pack_into(self.memory, start, len(text.encoded))
        self.memory[start + TEXT_LENGTH.size : self._texts_start] = text.encoded
        text.number, text.segment = start, self
        self._texts_start = start
        self._measure()

    def close(self) -> None:
        """Let go of the file; of a fork's parent it stays locked."""
        self.committed.release()
        self.memory.release()
        self._map.close()
        os.close(self._descriptor)

    def _measure(self) -> None:
        self.room = (self._texts_start - HEAD) // RECORD.size


def _begin_anew_after_fork() -> None:
    for journal in list(_journals):
        journal._leave_to_parent()


_journals: "weakref.WeakSet[Journal]" = weakref.WeakSet()
os.register_at_fork(after_in_child=_begin_anew_after_fork)
