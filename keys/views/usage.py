"""How keys were used, as pages draw it."""

from collections import defaultdict
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import TruncDay

from keys.models import UsageBucket
from keys.series import Slot
from keys.verification import Code

DAYS_SHOWN = 30


def outcomes_since(buckets: QuerySet[UsageBucket], since: datetime) -> dict[str, int]:
    """Return how many requests were accepted and refused since that hour."""
    hour = since.replace(minute=0, second=0, microsecond=0)
    sums = buckets.filter(hour__gte=hour).aggregate(
        accepted=Sum("requests", filter=Q(outcome=Code.VALID)),
        refused=Sum("requests", filter=~Q(outcome=Code.VALID)),
    )
    return {name: value or 0 for name, value in sums.items()}


def outcomes_by_day(buckets: QuerySet[UsageBucket], now: datetime) -> list[Slot]:
    rows = _daily(buckets, now).values_list("day", "outcome").annotate(Sum("requests"))
    days = _empty_days(now)
    for day, outcome, requests in rows.order_by():
        days[day].outcomes[outcome] = requests
    return list(days.values())


def outcomes_by_key_and_day(buckets: QuerySet[UsageBucket], now: datetime) -> dict[int, list[Slot]]:
    rows = _daily(buckets, now).values_list("key", "day", "outcome").annotate(Sum("requests"))
    keys: dict[int, dict[datetime, Slot]] = defaultdict(lambda: _empty_days(now))
    for key, day, outcome, requests in rows.order_by():
        keys[key][day].outcomes[outcome] = requests
    return defaultdict(list, {key: list(days.values()) for key, days in keys.items()})


def _daily(buckets: QuerySet[UsageBucket], now: datetime) -> QuerySet:
    first = _midnight(now) - timedelta(days=DAYS_SHOWN - 1)
    return buckets.filter(hour__gte=first).annotate(day=TruncDay("hour"))


def _empty_days(now: datetime) -> dict[datetime, Slot]:
    days = [_midnight(now) - timedelta(days=age) for age in reversed(range(DAYS_SHOWN))]
    return {day: Slot(day) for day in days}


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)
