"""Figures about many keys, kept for as long as they are right.

Counting an organization's keys, or their use in a month, takes the database long when
there are very many. Whatever changes a key, a person's standing or a policy leaves an audit
event, so a figure is right until the organization's next one; what only time changes is
counted anew every few minutes.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TypeVar

from django.core.cache import cache

from keys.models import Organization, User

Figure = TypeVar("Figure")


def remembered(
    name: str,
    count: Callable[[], Figure],
    *,
    actor: User,
    organization: Organization,
    now: datetime,
    keep: timedelta,
) -> Figure:
    """Return the figure of that name as this person may see it, counted at most once in a while.

    `keep` is how much time may pass without it being counted anew; `count` is asked when it
    has, or when the organization changed. One query where the figure is known.
    """
    latest = organization.audit_events.order_by("-pk").values_list("pk", flat=True).first()
    period = int(now.timestamp() // keep.total_seconds())
    standing = (actor.pk, actor.is_superuser, actor.is_staff)
    key = sha256(repr((name, organization.pk, latest, period, standing)).encode()).hexdigest()
    figure = cache.get(key)
    if figure is None:
        figure = count()
        cache.set(key, figure, timeout=keep.total_seconds())
    return figure
