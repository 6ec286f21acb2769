"""What the records of a journal mean: uses counted together, and the decisions among them."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import itemgetter

from keys import journal
from keys.decisions import Judged
from keys.journal import Reader, Wording
from keys.tallies import Tally
from keys.verification import Code

_log = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OUTCOMES = {number: outcome for outcome, number in journal.OUTCOMES.items()}
_DOORS = {number: door for door, number in journal.DOORS.items()}
_split = journal.SPLIT.iter_unpack


# No more are read at a time than what lets other threads of the process wait unnoticed.
_READ_AT_ONCE = 2000


class Records:
    """The records of one segment from number `start` on: all, or until they are too many.

    That is `at_most` records or, as what takes time to store, `groups` different ones.
    """

    def __init__(self, segment: Reader, start: int, *, at_most: int, groups: int) -> None:
        self.end = start
        self._segment = segment
        # Each group that is among them: how often it is, and the detail of its newest use.
        self._counts: Counter[bytes] = Counter()
        self._newest: dict[bytes, bytes] = {}
        self._wordings: dict[int, Wording] = {}
        self._last_read = b""
        while self.end - start < at_most and len(self._counts) < groups:
            data = segment.records(self.end, min(_READ_AT_ONCE, at_most - (self.end - start)))
            if not data:
                break
            self._last_read = data
            self._counts.update(map(itemgetter(0), _split(data)))
            self._newest.update(_split(data))
            self.end += len(data) // journal.RECORD.size
        self._drop_nonsense()

    def tallies(self) -> list[Tally]:
        """Return all of them, those that are counted together put together."""
        return [self._tally(group, requests) for group, requests in self._counts.items()]

    def judged(self, at_most: int) -> list[Judged]:
        """Return them one by one if they are no more than that, else the newest of some groups.

        Refusals come first then, and what is rare: of who is seen all the time, a few are
        enough.
        """
        uses = {group for group in self._counts if not _flags(group) & journal.IS_GRANT}
        if sum(self._counts.values()) <= min(at_most, _READ_AT_ONCE):
            chosen: Iterable = (each for each in _split(self._last_read) if each[0] in uses)
        else:
            ranked = sorted(uses, key=lambda group: (_is_accepted(group), self._counts[group]))
            chosen = [(group, self._newest[group]) for group in ranked[:at_most]]
        return [self._judged(group, detail) for group, detail in chosen]

    def _drop_nonsense(self) -> None:
        # Of a power cut, which leaves blocks that were never written, or of a later version.
        nonsense = [group for group in self._counts if not _makes_sense(group)]
        dropped = sum(self._counts.pop(group) for group in nonsense)
        if dropped:
            _log.error("%s: %d records make no sense.", self._segment.path, dropped)

    def _tally(self, group: bytes, requests: int) -> Tally:
        secret, key, cost, byok_cost, minute, text, outcome, _door, flags = _unpack(group)
        at, address, _request = journal.DETAIL.unpack(self._newest[group])
        wording = self._wording(text)
        return Tally(
            secret_id=secret,
            key_id=key,
            minute=_moment_of_minute(minute),
            outcome=_OUTCOMES[outcome],
            requests=requests,
            last_at=_moment(at),
            last_address=journal.unpack_address(address),
            user_agent=wording.user_agent,
            scopes=wording.scopes,
            cost=cost,
            byok_cost=byok_cost,
            is_charged=bool(flags & journal.IS_CHARGED),
            is_grant=bool(flags & journal.IS_GRANT),
        )

    def _judged(self, group: bytes, detail: bytes) -> Judged:
        secret, key, cost, _byok_cost, _minute, text, outcome, door, flags = _unpack(group)
        at, address, request = journal.DETAIL.unpack(detail)
        wording = self._wording(text)
        if flags & journal.HAS_GRANT:
            wording = replace(wording, scopes=())
        return Judged(
            key_id=key,
            secret_id=secret,
            at=_moment(at),
            outcome=_OUTCOMES[outcome],
            door=_DOORS[door],
            address=journal.unpack_address(address),
            wording=wording,
            cost=cost,
            request_id=request.hex() if any(request) else "",
        )

    def _wording(self, text: int) -> Wording:
        found = self._wordings.get(text)
        if found is None:
            found = self._wordings[text] = self._segment.wording(text)
        return found


_unpack = journal.GROUP.unpack


def _makes_sense(group: bytes) -> bool:
    secret, *_others, outcome, door, _flags = _unpack(group)
    return secret > 0 and outcome in _OUTCOMES and door in _DOORS


def _is_accepted(group: bytes) -> bool:
    return _OUTCOMES[_unpack(group)[6]] == Code.VALID


def _flags(group: bytes) -> int:
    return _unpack(group)[8]


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


@lru_cache(maxsize=256)
def _moment_of_minute(minute: int) -> datetime:
    return _moment(minute * journal.MINUTE)
