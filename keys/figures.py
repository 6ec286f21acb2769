"""Figures about very many keys, kept for a minute as long as they are right.

Counting an organization's keys, or their use in a month, takes the database long when
there are very many. Whatever changes a key, a person's standing or a policy leaves an audit
event, so figures are counted anew after the organization's next one, and what only time or
use changes is at most a minute old. Where there are fewer keys, nothing is kept.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TypeVar

from django.core.cache import cache
from django.db.models import QuerySet

from keys.models import APIKey, Organization, User

# Up to here counting is quicker than anybody notices.
FEW_KEYS = 2_000
KEPT_FOR = timedelta(minutes=1)

Figures = TypeVar("Figures")


def remembered(
    name: str,
    count: Callable[[], Figures],
    *,
    keys: QuerySet[APIKey],
    actor: User,
    organization: Organization,
    now: datetime,
) -> Figures:
    """Return what `count` answers about these keys of an organization, as this person sees them.

    `name` says what is counted, and of which keys where they are not all that the person sees.
    One query where there are few keys, besides what counting takes; two where there are very
    many and the figures are known.
    """
    if not keys.order_by()[FEW_KEYS : FEW_KEYS + 1].exists():
        return count()
    latest = organization.audit_events.order_by("-pk").values_list("pk", flat=True).first()
    minute = now.timestamp() // KEPT_FOR.total_seconds()
    standing = (actor.pk, actor.is_superuser, actor.is_staff)
    key = sha256(repr((name, organization.pk, latest, minute, standing)).encode()).hexdigest()
    figures = cache.get(key)
    if figures is None:
        figures = count()
        cache.set(key, figures, timeout=KEPT_FOR.total_seconds())
    return figures
