"""Whether audit chains are whole: which event was altered, removed, inserted or moved.

A chain is read from one end to the other, so this is the work of commands and chores; pages
show what was found last.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from keys import chain
from keys.audit_chain import events_of, is_signed, lock_head, save_head, signer, values_of
from keys.models import INSTALLATION, AuditEvent, AuditHead, Organization

_READ_AT_ONCE = 2000
# How many events one round of the chore reads at most.
_CHECKED_IN_A_ROUND = 20_000
# Of a chain that is broken throughout, the log holds the beginning.
_SAID_AT_MOST = 20

logger = logging.getLogger(__name__)


class Kind(Enum):
    """What can be wrong with a chain."""

    ALTERED = "was altered"
    REMOVED = "is missing"
    DETACHED = "does not follow the one before it: events between them, or the head, were replaced"
    INSERTED = "was not written by the portal"
    BEYOND = "lies beyond the signed head, which was set back"
    UNKNOWN_KEY = "was signed under a key that is not among AUDIT_KEYS and KEY_PEPPERS"
    HEAD_ALTERED = "the signed head was altered"
    HEAD_MISSING = "the signed head is missing"
    WITNESS_FORGED = "the head that was kept elsewhere is not signed by this installation"
    WITNESS_DIFFERS = "was another when its head was kept elsewhere"
    SET_BACK = "is missing, which there was when the head was kept elsewhere"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: with which event, by its number in the chain and its own."""

    chain: int
    kind: Kind
    sequence: int | None = None
    until: int | None = None
    event_id: int | None = None

    def __str__(self) -> str:
        if self.sequence is None and self.event_id is None:
            return self.kind.value
        if self.until not in (None, self.sequence):
            return f"each of the events {self.sequence} to {self.until} {self.kind.value}"
        name = f"event {self.sequence}" if self.sequence is not None else "an event"
        row = f" (id {self.event_id})" if self.event_id is not None else ""
        return f"{name}{row} {self.kind.value}"


@dataclass
class _Place:
    """How far a chain was followed: the event before, and its hash unless that was altered."""

    sequence: int
    hash: str | None
    # Whether what lies before it was looked at.
    is_left: bool = False


@dataclass(frozen=True)
class Standing:
    """What is known of a chain without reading it: how far it was followed, and what was wrong."""

    sequence: int = 0
    removed: int = 0
    verified_sequence: int = 0
    verified_at: datetime | None = None
    problem: str = ""


def standing(number: int) -> Standing:
    """Say how a chain was found last. One query."""
    head = AuditHead.objects.filter(chain=number).first()
    if head is None:
        return Standing(problem=Kind.HEAD_MISSING.value)
    problem = head.problem if is_signed(head) else Kind.HEAD_ALTERED.value
    return Standing(
        head.sequence, head.anchor_sequence, head.verified_sequence, head.verified_at, problem
    )


def chains() -> list[int]:
    """Return the chains that there are or should be: of each organization, and the portal's."""
    numbers = {INSTALLATION, *Organization.objects.values_list("pk", flat=True)}
    return sorted(numbers | set(AuditHead.objects.values_list("chain", flat=True)))


def check(number: int) -> list[Finding]:
    """Return what is wrong with a whole chain, and note in its head how it was found."""
    head = AuditHead.objects.filter(chain=number).first()
    place = _Place(head.anchor_sequence, head.anchor_hash) if head else _Place(0, "")
    # The long way without holding anybody up, what was added meanwhile under the lock.
    found = list(_walk(number, place, until=head.sequence if head else 0))
    unchained = events_of(number).filter(sequence=None).values_list("pk", flat=True)
    strangers = [Finding(number, Kind.INSERTED, event_id=event_id) for event_id in unchained]
    with transaction.atomic():
        locked = AuditHead.objects.select_for_update(no_key=True).filter(chain=number).first()
        if head and locked and locked.anchor_sequence != head.anchor_sequence:
            return check(number)  # Retention went by.
        found += _walk(number, place)
        found += [*_at_the_end(number, locked, place), *strangers]
        if locked and is_signed(locked):
            locked.problem = _summary(found)
            locked.verified_sequence, locked.verified_at = locked.sequence, timezone.now()
            save_head(locked)
    _say(number, locked, found)
    return found


def check_all() -> int:
    """Check each chain from one end to the other; return how many are broken."""
    return sum(bool(check(number)) for number in chains())


def check_some() -> int:
    """Follow the chains from where they were last followed to, a bounded number of events.

    Returns how many events were looked at. For the worker; it logs heads, so that logs which
    are kept elsewhere bear witness of them.
    """
    left = _CHECKED_IN_A_ROUND
    behind = AuditHead.objects.filter(verified_sequence__lt=F("sequence"))
    for number in behind.order_by("verified_at", "chain").values_list("chain", flat=True):
        if left <= 0:
            break
        left -= _follow_on(number)
    return _CHECKED_IN_A_ROUND - left


def compare(witness: Mapping[str, Any]) -> Finding | None:
    """Say what is wrong with a chain by a head of it that was kept elsewhere; None: nothing.

    Raises KeyError or TypeError for what is no head.
    """
    number, sequence = int(witness["chain"]), int(witness["sequence"])
    try:
        expected = signer().witness_signature(witness)
    except chain.UnknownKeyError:
        return Finding(number, Kind.WITNESS_FORGED)
    if not chain.is_equal(expected, str(witness["signature"])):
        return Finding(number, Kind.WITNESS_FORGED)
    head = AuditHead.objects.filter(chain=number).first()
    if sequence == 0 or (head and head.anchor_sequence > sequence):
        return None  # Removed by retention meanwhile, which is signed too.
    if head and head.anchor_sequence == sequence:
        hashes = [head.anchor_hash]
    else:
        hashes = list(events_of(number).filter(sequence=sequence).values_list("hash", flat=True))
    if not hashes:
        return Finding(number, Kind.SET_BACK, sequence)
    return None if hashes == [witness["hash"]] else Finding(number, Kind.WITNESS_DIFFERS, sequence)


def witness_of(head: AuditHead) -> dict[str, Any]:
    """Return what is to be kept elsewhere of a head, signed."""
    values = values_of(head, ("chain", "sequence", "hash"))
    values["signed_under"] = signer().current
    return {**values, "signature": signer().witness_signature(values)}


def check_file(events: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield what is wrong with events of exported trails, each chain in its order.

    What a filter left out is missing there: those are found as REMOVED.
    """
    places: dict[int, _Place] = {}
    for event in events:
        number = event["organization_id"] or INSTALLATION
        place = places.setdefault(number, _Place(event["sequence"] - 1, None))
        yield from _follow(number, event, place)


def adopt(number: int) -> int:
    """Put events that a release before the chain wrote at the end of a chain; return how many.

    The caller says in the chain that it was done.
    """
    count = 0
    with transaction.atomic():
        head = lock_head(number)
        unchained = events_of(number).filter(sequence=None).order_by("pk")
        for event in list(unchained):
            event.sequence, event.previous_hash = head.sequence + 1, head.hash
            event.signed_under = signer().current
            event.hash = signer().event_hash(values_of(event, chain.EVENT_FIELDS))
            values = values_of(event, ("sequence", "previous_hash", "hash", "signed_under"))
            # Past what refuses to alter events: this one has no place yet.
            QuerySet.update(AuditEvent.objects.filter(pk=event.pk, sequence=None), **values)
            head.sequence, head.hash = event.sequence, event.hash
            count += 1
        save_head(head)
    return count


def _walk(
    number: int, place: _Place, *, until: int | None = None, most: int | None = None
) -> Iterator[Finding]:
    """Follow a chain from a place on, which is moved along."""
    events = events_of(number).filter(sequence__isnull=False).order_by("sequence")
    if until is not None:
        events = events.filter(sequence__lte=until)
    if place.is_left:
        events = events.filter(sequence__gt=place.sequence)
    place.is_left = True
    rows = events[:most].values(*chain.EVENT_FIELDS, "hash")
    for event in rows.iterator(chunk_size=_READ_AT_ONCE):
        yield from _follow(number, event, place)


def _follow(number: int, event: Mapping[str, Any], place: _Place) -> Iterator[Finding]:
    sequence, event_id = event["sequence"], event["id"]
    if sequence <= place.sequence:
        # What retention removed is back, or the same twice.
        yield Finding(number, Kind.INSERTED, sequence, event_id=event_id)
        return
    if sequence > place.sequence + 1:
        yield Finding(number, Kind.REMOVED, place.sequence + 1, sequence - 1)
        place.hash = None
    try:
        is_own = chain.is_equal(signer().event_hash(event), event["hash"])
    except chain.UnknownKeyError:
        yield Finding(number, Kind.UNKNOWN_KEY, sequence, event_id=event_id)
        is_own = False
    else:
        if not is_own:
            yield Finding(number, Kind.ALTERED, sequence, event_id=event_id)
    if is_own and place.hash is not None and place.hash != event["previous_hash"]:
        yield Finding(number, Kind.DETACHED, sequence, event_id=event_id)
    place.sequence, place.hash = sequence, event["hash"] if is_own else None


def _at_the_end(number: int, head: AuditHead | None, place: _Place) -> list[Finding]:
    if head is None:
        # The installation has a chain as soon as something happens to it.
        is_due = number != INSTALLATION or place.sequence > 0
        return [Finding(number, Kind.HEAD_MISSING)] if is_due else []
    found = [] if is_signed(head) else [Finding(number, Kind.HEAD_ALTERED)]
    if place.sequence < head.sequence:
        found.append(Finding(number, Kind.REMOVED, place.sequence + 1, head.sequence))
    elif place.sequence > head.sequence:
        found.append(Finding(number, Kind.BEYOND, head.sequence + 1, place.sequence))
    elif place.hash is not None and place.hash != head.hash:
        found.append(Finding(number, Kind.DETACHED, place.sequence))
    return found


def _follow_on(number: int) -> int:
    """Follow a chain a bounded way; return how many events were looked at, 1 at least."""
    with transaction.atomic():
        head = lock_head(number)
        if not is_signed(head):
            _say(number, head, [Finding(number, Kind.HEAD_ALTERED)])
            return 1
        begin = max(head.verified_sequence, head.anchor_sequence)
        place = _Place(begin, _hash_at(head, begin), is_left=True)
        found = list(_walk(number, place, most=_READ_AT_ONCE))
        if place.sequence - begin < _READ_AT_ONCE:
            found += _at_the_end(number, head, place)
        head.problem = head.problem or _summary(found)
        head.verified_sequence, head.verified_at = place.sequence, timezone.now()
        save_head(head)
    _say(number, head, found)
    return max(place.sequence - begin, 1)


def _hash_at(head: AuditHead, sequence: int) -> str | None:
    if sequence == head.anchor_sequence:
        return head.anchor_hash
    event = events_of(head.chain).filter(sequence=sequence)
    return event.values_list("hash", flat=True).first()


def _summary(found: list[Finding]) -> str:
    return str(found[0])[:200] if found else ""


def _say(number: int, head: AuditHead | None, found: list[Finding]) -> None:
    for each in found[:_SAID_AT_MOST]:
        logger.error("The audit chain %s is broken: %s.", number, each)
    if head is not None:
        logger.info("The audit chain %s ends with event %s, %s.", number, head.sequence, head.hash)
