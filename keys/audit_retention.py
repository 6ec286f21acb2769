"""How long audit events are kept: the oldest are removed, and their chain's head says so."""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

from keys import policy
from keys.audit_chain import events_of, is_signed, lock_head, save_head
from keys.audit_checks import check
from keys.models import AuditEvent, AuditHead, Organization
from keys.services import audit

_REMOVED_AT_ONCE = 1000

logger = logging.getLogger(__name__)


def remove_old(*, now: datetime) -> dict[int, int]:
    """Remove what is older than AUDIT_KEPT_DAYS; return {chain: how many}.

    Nothing of a chain that is broken: what is left of it is evidence.
    """
    if settings.AUDIT_KEPT_DAYS is None:
        return {}
    before = now - timedelta(days=settings.AUDIT_KEPT_DAYS)
    removed = {}
    for number in AuditHead.objects.order_by("chain").values_list("chain", flat=True):
        if not _has_old(number, before):
            continue
        if check(number):
            logger.error("Nothing is removed of the audit chain %s: it is broken.", number)
            continue
        count = 0
        while some := _remove_some(number, before, now):
            count += some
        removed[number] = count
        _record(number, count)
    return removed


def _has_old(number: int, before: datetime) -> bool:
    oldest = events_of(number).order_by("sequence").values_list("at", flat=True)
    at = oldest.exclude(sequence=None).first()
    return at is not None and at < before


def _remove_some(number: int, before: datetime, now: datetime) -> int:
    with transaction.atomic():
        head = lock_head(number)
        if not is_signed(head):
            return 0
        rows = events_of(number).filter(sequence__gt=head.anchor_sequence).order_by("sequence")
        end, count = None, 0
        for sequence, at, hash_ in rows.values_list("sequence", "at", "hash")[:_REMOVED_AT_ONCE]:
            if at >= before:
                break
            end, count = (sequence, hash_), count + 1
        if end is None:
            return 0
        head.anchor_sequence, head.anchor_hash = end
        head.anchored_at = now
        save_head(head)
        _delete(number, head.anchor_sequence)
    return count


def _record(number: int, count: int) -> None:
    organization = Organization.objects.filter(pk=number).first()
    audit.record(
        actor=policy.OPERATOR,
        action="audit.trimmed",
        obj=organization or AuditHead.objects.get(chain=number),
        organization=organization,
        changes={"events": count},
    )


def _delete(number: int, until: int) -> None:
    # The one statement that removes events; triggers let it, since the head says so.
    table = AuditEvent._meta.db_table
    chain = "organization_id = %s" if number else "organization_id IS NULL"
    parameters = [number, until] if number else [until]
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {table} WHERE {chain} AND sequence <= %s",  # noqa: S608
            parameters,
        )
