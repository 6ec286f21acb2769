"""What keys were judged to be, remembered for as long as neither time nor a change makes it untrue.

Only of keys of which nothing else decides (`entry.is_plain`), and with what is remembered of
the key: when that is forgotten, so are its outcomes.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from keys import journal, snapshots
from keys.entries import Entry
from keys.networks import Address
from keys.verification import Code, Question, judge, steady_until

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_NEVER = 2**63
# Strangers choose where a key is used from, and for what. So many outcomes of one key, and so
# many of all keys together: a few of each, and some for who has few keys.
_MOST_OF_ONE, _MOST_ON_AVERAGE, _MOST_ANYWAY = 64, 4, 10_000
# Of a use for more than that nothing is remembered.
MOST_SCOPES = 20

_kept = 0


@dataclass(slots=True)
class Outcome:
    """What a key is judged to be from `since` until `until`: microseconds since 1970, in UTC.

    `number` is what the journal calls it.
    """

    code: Code
    number: int
    since: int
    until: int


def find(
    entry: Entry, address: Address | None, packed: bytes, scopes: frozenset[str], now: int
) -> Outcome:
    """Return the outcome of a use now, for these scopes, from an address and that in 16 bytes."""
    name = (scopes, address and packed) if entry.is_confined else scopes
    known = entry.memory.get(name)
    if known is None or not known.since <= now < known.until:
        known = judged(entry, address, scopes, now)
        if len(scopes) <= MOST_SCOPES:
            keep(entry, name, known)
    return known


def judged(entry: Entry, address: Address | None, scopes: frozenset[str], now: int) -> Outcome:
    """Judge anew; remember nothing."""
    moment = moment_of(now)
    code = judge(entry.snapshot, Question(moment, address, scopes))
    end = steady_until(entry.snapshot, moment)
    until = _NEVER if end is None else (end - _EPOCH) // _MICROSECOND
    return Outcome(code, journal.OUTCOMES[code], now, until)


def keep(entry: Entry, name: Any, found: Any) -> None:
    """Remember something with an entry that was worked out from it alone."""
    global _kept
    if len(entry.memory) >= _MOST_OF_ONE:
        entry.memory.clear()
    entry.memory[name] = found
    _kept += 1
    # More may have been forgotten than is counted here: then this comes early, which costs
    # time alone.
    if _kept > _MOST_ANYWAY + _MOST_ON_AVERAGE * snapshots.counts().remembered:
        _kept = 0
        for each in snapshots.remembered():
            each.memory.clear()


def moment_of(microseconds: int) -> datetime:
    """Return the moment so long after 1970 began."""
    return _EPOCH + timedelta(microseconds=microseconds)
