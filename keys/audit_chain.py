"""Where audit events are chained: appended one behind the other, under their chain's signed head.

Whoever appends holds the head of the chain until the transaction ends, so it is the last thing
that a transaction locks.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import transaction

from keys import chain, upserts
from keys.models import AuditEvent, AuditHead


def signer() -> chain.Signer:
    """Return what signs and checks the chains of this installation."""
    return _signer(chain.secrets_in_order(settings.AUDIT_KEYS, settings.KEY_PEPPERS))


@lru_cache(maxsize=8)
def _signer(secrets: tuple[bytes, ...]) -> chain.Signer:
    return chain.Signer(secrets)


def append(event: AuditEvent) -> AuditEvent:
    """Write a new event at the end of its chain."""
    append_all([event])
    return event


def append_all(events: Sequence[AuditEvent]) -> None:
    """Write new events at the end of their chain, which is one."""
    # Within the transaction of the change no savepoint: a change is never kept without its event.
    with transaction.atomic(savepoint=False):
        head, signing = lock_head(events[0].chain), signer()
        # A hash covers the number of the row too, so it has to be known before.
        numbers = upserts.next_numbers(AuditEvent, len(events))
        for event, number in zip(events, numbers, strict=True):
            event.pk = number
            event.sequence, event.previous_hash = head.sequence + 1, head.hash
            event.signed_under = signing.current
            event.hash = signing.event_hash(values_of(event, chain.EVENT_FIELDS))
            head.sequence, head.hash = event.sequence, event.hash
        upserts.insert_all(AuditEvent, events)
        save_head(head)


def lock_head(number: int) -> AuditHead:
    """Return the head of a chain; nobody else appends to it until the transaction ends.

    Where it is missing or not the one that was signed, the chain goes on without naming an
    event before: writing goes on, and that will always be found.
    """
    heads = AuditHead.objects.select_for_update(no_key=True).filter(chain=number)
    head = heads.first()
    if head is None:
        AuditHead.objects.bulk_create([AuditHead(chain=number)], ignore_conflicts=True)
        head = heads.get()
    if not head.signature or not is_signed(head):
        head.sequence, head.hash = max(head.sequence, _newest_sequence(number)), ""
    return head


def save_head(head: AuditHead) -> None:
    """Sign a head that was locked, and write it."""
    head.signed_under = signer().current
    head.signature = signer().head_signature(values_of(head, chain.HEAD_FIELDS))
    head.save(force_update=True)


def is_signed(head: AuditHead) -> bool:
    """Say whether a head is as the portal wrote it."""
    try:
        expected = signer().head_signature(values_of(head, chain.HEAD_FIELDS))
    except chain.UnknownKeyError:
        return False
    return chain.is_equal(expected, head.signature)


def values_of(row: Any, fields: tuple[str, ...]) -> dict[str, Any]:
    """Return these fields of a row by their names."""
    return {name: getattr(row, name) for name in fields}


def events_of(number: int) -> Any:
    """Select the events of a chain."""
    return AuditEvent.objects.filter(organization=number or None)


def _newest_sequence(number: int) -> int:
    numbered = events_of(number).filter(sequence__isnull=False).order_by("-sequence")
    return numbered.values_list("sequence", flat=True).first() or 0
