"""What the audit trail is to say of imported keys, until the last of them is written."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from keys.services import audit
from keys.services.audit import Subject

# Bytes; more lies in a file, since there may be millions of keys.
MOST_IN_MEMORY = 1 << 20


class Events:
    """Keeps them, so that an import holds the chain of the organization only at its end."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def add(self, rows: Iterable[tuple[Subject, dict[str, Any]]]) -> None:
        """Keep what is to be said of each of these keys."""
        for subject, changes in rows:
            self._file.write(json.dumps([*subject, audit.plain(changes)]) + "\n")

    def batches(self, size: int) -> Iterator[list[tuple[Subject, dict[str, Any]]]]:
        """Yield all that was kept, in its order, so many keys at a time."""
        self._file.seek(0)
        lines = iter(self._file)
        while batch := [json.loads(line) for line in islice(lines, size)]:
            yield [(Subject(*subject), changes) for *subject, changes in batch]


@contextmanager
def collected() -> Iterator[Events]:
    """Return an empty collection, which is forgotten at the end."""
    with SpooledTemporaryFile(MOST_IN_MEMORY, "w+", encoding="utf-8") as file:
        yield Events(file)
