"""What has to be done now and then, by whichever worker comes first."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from keys import audit_checks, audit_retention, decisions, folding
from keys.models import Chore as ChoreRow
from keys.models import KeyNotice, Message, WebhookDelivery
from keys.services import leaks, notices, policies
from keys.services.importing.shapes import drop_abandoned

logger = logging.getLogger(__name__)

# A chore that was begun and not finished within that time is somebody else's.
_CLAIMED_FOR = timedelta(hours=1)
# One that failed is tried again then.
_RETRIED_AFTER = timedelta(minutes=5)
# How long what was sent can be looked up, and what people were told of is remembered.
_SENT_KEPT = timedelta(days=30)
_TOLD_KEPT = timedelta(days=60)


@dataclass(frozen=True)
class Chore:
    """A job done every so often: by one worker of all, or by one on `each_host`."""

    name: str
    every: timedelta
    # Called with `now`; what it returns is logged.
    work: Callable[..., Any]
    each_host: bool = False


def forget_what_was_sent(*, now: datetime) -> int:
    """Delete messages and deliveries past the time for which they are kept."""
    old = now - _SENT_KEPT
    count = Message.objects.filter(created_at__lt=old, next_at=None).delete()[0]
    count += WebhookDelivery.objects.filter(created_at__lt=old, next_at=None).delete()[0]
    # What was never sent is not sent any more: its receiver was switched off.
    count += WebhookDelivery.objects.filter(created_at__lt=old, webhook__enabled=False).delete()[0]
    return count + KeyNotice.objects.filter(moment__lt=now - _TOLD_KEPT).delete()[0]


CHORES = [
    Chore("idle keys", timedelta(hours=6), policies.disable_idle_keys),
    Chore("expiry notices", timedelta(hours=1), notices.give_expiry_notices),
    Chore("old secrets", timedelta(minutes=15), notices.give_secret_notices),
    Chore("found secrets", timedelta(minutes=1), leaks.look_up_found),
    Chore("purge of decisions", timedelta(days=1), decisions.purge),
    Chore("purge of messages", timedelta(days=1), forget_what_was_sent),
    Chore("shapes of imported secrets", timedelta(days=1), drop_abandoned),
    # The whole ones first: what is found whole is not followed, and its head not logged, again.
    Chore("whole audit chains", timedelta(days=1), lambda *, now: audit_checks.check_all()),
    Chore("audit chains", timedelta(minutes=10), lambda *, now: audit_checks.check_some()),
    Chore("purge of the audit trail", timedelta(days=1), audit_retention.remove_old),
    # Serving processes do it all the time; what a host's last one left is added by this.
    Chore("folding", timedelta(minutes=1), lambda *, now: folding.fold_once(), each_host=True),
]

# When those of this host are due, by the clock of this process.
_due_here: dict[str, float] = {}


def run_due() -> list[str]:
    """Do what is due, unless another worker is at it; return the names of what was done."""
    return [chore.name for chore in CHORES if _is_ours(chore) and _run(chore)]


def _is_ours(chore: Chore) -> bool:
    if chore.each_host:
        if _due_here.get(chore.name, 0) > time.monotonic():
            return False
        _due_here[chore.name] = time.monotonic() + chore.every.total_seconds()
        return True
    now = timezone.now()
    ChoreRow.objects.get_or_create(name=chore.name, defaults={"next_at": now})
    ahead = max(chore.every, _CLAIMED_FOR)
    # Far ahead it was put by a clock that was wrong; hosts' clocks differ by less.
    is_due = Q(next_at__lte=now) | Q(next_at__gt=now + 2 * ahead)
    # Of several that come at once, one finds the row as it was.
    due = ChoreRow.objects.filter(is_due, name=chore.name)
    return due.update(next_at=now + ahead) == 1


def _run(chore: Chore) -> bool:
    now = timezone.now()
    error = ""
    try:
        result = chore.work(now=now)
    except Exception as problem:
        logger.exception("The chore “%s” failed.", chore.name)
        error = type(problem).__name__
    else:
        logger.debug("The chore “%s” is done: %s.", chore.name, result)
    if not chore.each_host:
        after = min(chore.every, _RETRIED_AFTER) if error else chore.every
        ChoreRow.objects.filter(name=chore.name).update(
            next_at=now + after, finished_at=timezone.now(), error=error
        )
    return not error
