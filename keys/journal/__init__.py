"""What was verified, kept in files until it is in the tables of usage: no database, no wait.

Each process appends to a *segment* of its own: a file of fixed size whose blocks are
reserved and mapped into memory. A record is a few stores into that memory, and counts
from the moment at which the number of records in the head of the file says so. It is then
the system's, whatever becomes of the process. A full segment is followed by a new one.

A segment holds its head, then records, upwards; and downwards from its end the texts that
records refer to by their place. Its writer holds a lock on the file for as long as it may
write: who gets that lock knows that nothing more comes.
"""

from pathlib import Path

from keys.journal.format import (
    DETAIL,
    DOORS,
    GROUP,
    HAS_GRANT,
    IS_CHARGED,
    IS_GRANT,
    MAX_TEXT_LENGTH,
    MINUTE,
    OUTCOMES,
    RECORD,
    SPLIT,
    Wording,
    pack_address,
    pack_request,
    presentable,
    unpack_address,
    wording,
)
from keys.journal.reading import Reader, reading, remove_abandoned, segments
from keys.journal.writing import Journal, JournalFull, Text

SEGMENT_BYTES = 8 * 2**20


def open(directory: Path, segment_bytes: int = SEGMENT_BYTES) -> Journal:
    """Return a journal of this process in a directory of this host. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Journal(directory, segment_bytes)


__all__ = [
    "DETAIL",
    "DOORS",
    "GROUP",
    "HAS_GRANT",
    "IS_CHARGED",
    "IS_GRANT",
    "MAX_TEXT_LENGTH",
    "MINUTE",
    "OUTCOMES",
    "RECORD",
    "SPLIT",
    "Journal",
    "JournalFull",
    "Reader",
    "Text",
    "Wording",
    "open",
    "pack_address",
    "pack_request",
    "presentable",
    "reading",
    "remove_abandoned",
    "segments",
    "unpack_address",
    "wording",
]
