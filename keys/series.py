"""How keys were used, over time: what charts draw. All moments are UTC.

Each answer takes a bounded number of queries, and holds no more than the actor may see.
Hours are put together here, not by the database: SQLite would call back for each row.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import Count, Max, Q, QuerySet, Sum
from django.db.models.functions import Cast, Coalesce
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from keys import policy, search
from keys.models import (
    APIKey,
    Decision,
    KeySecret,
    KeyUsage,
    MinuteBucket,
    Organization,
    OrganizationBucket,
    OrganizationMinute,
    UsageBucket,
)
from keys.models.fields import AmountSum
from keys.models.usage import LimitReset
from keys.policy import Actor
from keys.verification import Code

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# The day of an hour. Truncating it would call back into Python for every row of SQLite's.
_DATE = Cast("hour", models.DateField())
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Of very many keys, so many buckets are looked at to tell which were used most.
_MOST_RANKED = 10_000
# So many of these keys are asked about, and so many at once.
_MOST_LOOKED_UP, _LOOKED_UP = 100, 10

# A limit that never resets is drawn over no more than this.
_LONGEST_PERIOD = timedelta(days=90)
# A pace is told from no less than this, and from no more than the last week.
_SHORTEST_PACE, _LONGEST_PACE = _HOUR, timedelta(days=7)


class Range(models.TextChoices):
    """How far back a chart looks."""

    HOUR = "1h", _("1 hour")
    DAY = "24h", _("24 hours")
    WEEK = "7d", _("7 days")
    MONTH = "30d", _("30 days")

    @property
    def heading(self) -> str | Promise:
        """What a chart of it is called."""
        return {
            Range.HOUR: _("Requests in the last hour"),
            Range.DAY: _("Requests in the last 24 hours"),
            Range.WEEK: _("Requests in the last 7 days"),
            Range.MONTH: _("Requests in the last 30 days"),
        }[self]

    @property
    def span(self) -> timedelta:
        """How long a time the chart shows."""
        return {Range.HOUR: _HOUR, Range.DAY: _DAY, Range.WEEK: 7 * _DAY, Range.MONTH: 30 * _DAY}[
            self
        ]

    @property
    def step(self) -> timedelta:
        """How long a time each column stands for."""
        return {
            Range.HOUR: _MINUTE,
            Range.DAY: _HOUR,
            Range.WEEK: 6 * _HOUR,
            Range.MONTH: _DAY,
        }[self]


@dataclass(frozen=True)
class Slot:
    """What happened from `start` until the next slot: {verification code: requests}."""

    start: datetime
    outcomes: dict[str, int] = field(default_factory=dict)

    @property
    def accepted(self) -> int:
        return self.outcomes.get(Code.VALID, 0)

    @property
    def total(self) -> int:
        return sum(self.outcomes.values())

    @property
    def refused(self) -> int:
        return self.total - self.accepted


@dataclass(frozen=True)
class Spending:
    """How the limit of a key is used up in its current period.

    `points` are moments a day apart (an hour, where the limit resets each day), oldest first,
    with what was spent in the period until then; the last is now. `ends_at` None: the limit
    never resets. `exhausted_at` is when nothing will be left at the pace of late, or None
    where the period ends first or nothing is spent.
    """

    points: list[tuple[datetime, Decimal]]
    limit: Decimal
    spent: Decimal
    remaining: Decimal
    started_at: datetime
    ends_at: datetime | None
    exhausted_at: datetime | None


@dataclass(frozen=True)
class KeyUse:
    """How often a key was judged in some time."""

    identifier: str
    name: str
    accepted: int
    refused: int

    @property
    def total(self) -> int:
        return self.accepted + self.refused


@dataclass(frozen=True)
class AddressUse:
    """How often a key was judged from an address, among the decisions that are kept."""

    address: str
    accepted: int
    refused: int
    last_at: datetime


def outcomes(*, actor: Actor, keys: QuerySet[APIKey], span: Range, now: datetime) -> list[Slot]:
    """Return the outcomes of these keys together, oldest first, no slot left out. One query."""
    visible = policy.visible(actor, keys).order_by().values("pk")
    if span is Range.HOUR:
        return _outcomes(MinuteBucket.objects.filter(key__in=visible), span, now)
    return _outcomes(UsageBucket.objects.filter(key__in=visible), span, now)


def organization_outcomes(
    *, actor: Actor, organization: Organization, span: Range, now: datetime
) -> list[Slot]:
    """Return the same of all keys of an organization that the actor sees. Two queries.

    They are added up already for those who see every key.
    """
    if not policy.sees_every_key(actor, organization):
        return outcomes(actor=actor, keys=organization.api_keys.all(), span=span, now=now)
    model = OrganizationMinute if span is Range.HOUR else OrganizationBucket
    buckets = model._default_manager.filter(organization=organization)
    return _outcomes(policy.visible(actor, buckets), span, now)


def sparklines(*, actor: Actor, keys: Iterable[APIKey], now: datetime) -> dict[int, list[Slot]]:
    """Return {key's number: its last 30 days}, for each of the keys of a page. One query."""
    found = {key.pk: _empty_slots(Range.MONTH.span, _DAY, now) for key in keys}
    buckets = policy.visible(actor, UsageBucket.objects.filter(key__in=list(found)))
    since = _first_start(Range.MONTH.span, _DAY, now)
    rows = buckets.filter(hour__gte=since).values_list("key", _DATE, "outcome")
    for pk, day, outcome, requests in rows.order_by().annotate(Sum("requests")):
        _add(found[pk], _DAY, day, outcome, requests)
    return found


def by_secret(
    *, actor: Actor, key: APIKey, now: datetime, days: int = 14
) -> list[tuple[KeySecret, list[Slot]]]:
    """Return the key's secrets in use lately, oldest first, each with its use by six hours.

    Those are its current secret, old ones that still work, and what was used in these days.
    Two queries.
    """
    step = Range.WEEK.step
    since = _first_start(days * _DAY, step, now)
    buckets = policy.visible(actor, UsageBucket.objects.filter(key=key, hour__gte=since))
    used: dict[int, list[Slot]] = defaultdict(lambda: _empty_slots(days * _DAY, step, now))
    rows = buckets.values_list("secret", "hour", "outcome")
    for pk, hour, outcome, requests in rows.order_by().annotate(Sum("requests")):
        _add(used[pk], step, hour, outcome, requests)
    secrets = policy.visible(actor, key.secrets.order_by("pk"))
    return [
        (secret, used[secret.pk]) for secret in secrets if secret.pk in used or secret.works_at(now)
    ]


def spending(*, actor: Actor, key: APIKey, now: datetime) -> Spending | None:
    """Return how the key's limit is used up, or None for a key without one. Two queries."""
    totals = policy.visible(actor, KeyUsage.objects.filter(key=key)).first()
    if key.limit is None or totals is None:
        return None
    period = LimitReset.period_start(key.limit_reset, now)
    ends_at = LimitReset.period_end(key.limit_reset, now)
    step = _HOUR if key.limit_reset == LimitReset.DAILY else _DAY
    start = period or _floor(max(key.created_at, now - _LONGEST_PERIOD), step)
    spent = totals.spent_in(period)
    points = _cumulate(start, step, _costs(key, start, step), spent, now)
    remaining = max(key.limit - spent, Decimal(0))
    return Spending(
        points=points,
        limit=key.limit,
        spent=spent,
        remaining=remaining,
        started_at=start,
        ends_at=ends_at,
        exhausted_at=_exhausted_at(points, remaining, ends_at),
    )


def totals_since(*, actor: Actor, keys: QuerySet[APIKey], since: datetime) -> dict[str, int]:
    """Return how often these keys were `accepted` and `refused` since that hour began."""
    visible = policy.visible(actor, keys).order_by().values("pk")
    hour = since.replace(minute=0, second=0, microsecond=0)
    sums = UsageBucket.objects.filter(key__in=visible, hour__gte=hour).aggregate(
        accepted=Sum("requests", filter=Q(outcome=Code.VALID)),
        refused=Sum("requests", filter=~Q(outcome=Code.VALID)),
    )
    return {name: value or 0 for name, value in sums.items()}


def totals(slots: Iterable[Slot]) -> dict[str, int]:
    """Return how often keys were `accepted` and `refused` in these slots together."""
    used = [slot for slot in slots if slot.outcomes]
    return {
        "accepted": sum(slot.accepted for slot in used),
        "refused": sum(slot.refused for slot in used),
    }


def top_keys(
    *, actor: Actor, keys: QuerySet[APIKey], span: Range, now: datetime, count: int = 5
) -> list[KeyUse]:
    """Return the keys that were judged most often in that time. Three queries.

    Where there are very many keys, of those that lead among the installation's latest
    buckets: five queries, rarely more.
    """
    since = _first_start(span.span, span.step, now)
    buckets: QuerySet[Any] = (
        MinuteBucket.objects.filter(minute__gte=since)
        if span is Range.HOUR
        else UsageBucket.objects.filter(hour__gte=since)
    )
    visible = policy.visible(actor, keys).order_by()
    # Ranked by their numbers alone: what else there is to say is read of the few that count.
    if search.has_many(keys):
        numbers = _leading(_latest(buckets), visible, count)
    else:
        numbers = _ranked(buckets.filter(key__in=visible.values("pk")), count)
    rows = buckets.filter(key__in=numbers).order_by().values_list("key__identifier", "key__name")
    uses = rows.annotate(
        accepted=Coalesce(Sum("requests", filter=Q(outcome=Code.VALID)), 0),
        refused=Coalesce(Sum("requests", filter=~Q(outcome=Code.VALID)), 0),
        total=Sum("requests"),
    )
    return [KeyUse(*row[:4]) for row in uses.order_by("-total", "key")]


def top_addresses(*, actor: Actor, key: APIKey, now: datetime, count: int = 5) -> list[AddressUse]:
    """Return the addresses from which the key was judged most often in 30 days. One query."""
    since = now - Range.MONTH.span
    decisions = policy.visible(
        actor, Decision.objects.filter(key=key, at__gte=since, address__isnull=False)
    )
    rows = (
        decisions.order_by()
        .values_list("address")
        .annotate(
            accepted=Count("pk", filter=Q(outcome=Code.VALID)),
            refused=Count("pk", filter=~Q(outcome=Code.VALID)),
            last_at=Max("at"),
            total=Count("pk"),
        )
    )
    return [AddressUse(*row[:4]) for row in rows.order_by("-total", "-last_at")[:count]]


def _outcomes(buckets: QuerySet[Any], span: Range, now: datetime) -> list[Slot]:
    slots = _empty_slots(span.span, span.step, now)
    since = slots[0].start
    rows: QuerySet
    if span is Range.HOUR:
        rows = buckets.filter(minute__gte=since).values_list("minute", "outcome")
    else:
        hours = buckets.filter(hour__gte=since)
        rows = hours.values_list(_DATE if span is Range.MONTH else "hour", "outcome")
    for moment, outcome, requests in rows.order_by().annotate(Sum("requests")):
        _add(slots, span.step, moment, outcome, requests)
    return slots


def _ranked(buckets: QuerySet[Any], count: int) -> list[int]:
    ranked = buckets.order_by().values_list("key").annotate(total=Sum("requests"))
    return [pk for pk, _total in ranked.order_by("-total", "key")[:count]]


def _latest(buckets: QuerySet[Any]) -> QuerySet[Any]:
    # Numbered as time goes.
    newest_first = buckets.model._default_manager.order_by("-pk").values_list("pk", flat=True)
    before = newest_first[_MOST_RANKED : _MOST_RANKED + 1].first()
    return buckets if before is None else buckets.filter(pk__gt=before)


def _leading(buckets: QuerySet[Any], keys: QuerySet[APIKey], count: int) -> list[int]:
    """Return the first so many of the buckets' keys that are among these very many."""
    found: list[int] = []
    requests: Counter[int] = Counter()
    # Added up here: asked for sums by key, SQLite reads all there are in the order of keys.
    for pk, some_requests in buckets.order_by().values_list("key", "requests"):
        requests[pk] += some_requests
    ranked = [pk for pk, _total in requests.most_common(_MOST_LOOKED_UP)]
    # A few at a time: of long lists SQLite looks up all keys of the organization instead.
    while ranked and len(found) < count:
        next_ones, ranked = ranked[:_LOOKED_UP], ranked[_LOOKED_UP:]
        ours = keys.in_bulk(next_ones)
        found += [pk for pk in next_ones if pk in ours]
    return found[:count]


def _first_start(span: timedelta, step: timedelta, now: datetime) -> datetime:
    # The last slot is the one that holds this moment; slots begin at whole steps of UTC.
    return _floor(now, step) + step - span


def _floor(moment: datetime, step: timedelta) -> datetime:
    return _EPOCH + (moment - _EPOCH) // step * step


def _empty_slots(span: timedelta, step: timedelta, now: datetime) -> list[Slot]:
    first = _first_start(span, step, now)
    return [Slot(first + index * step) for index in range(span // step)]


def _add(
    slots: list[Slot], step: timedelta, moment: datetime | date, outcome: str, requests: int
) -> None:
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    index = (moment - slots[0].start) // step
    if index < len(slots):
        found = slots[index].outcomes
        found[outcome] = found.get(outcome, 0) + requests


def _costs(key: APIKey, start: datetime, step: timedelta) -> dict[datetime, Decimal]:
    """Return what counted against the limit, by the beginning of each step."""
    hours = UsageBucket.objects.filter(key=key, hour__gte=start).order_by().values_list("hour")
    costs: dict[datetime, Decimal] = defaultdict(Decimal)
    for hour, cost, byok_cost in hours.annotate(AmountSum("cost"), AmountSum("byok_cost")):
        costs[_floor(hour, step)] += cost + byok_cost if key.include_byok_in_limit else cost
    return costs


def _cumulate(
    start: datetime,
    step: timedelta,
    costs: dict[datetime, Decimal],
    spent: Decimal,
    now: datetime,
) -> list[tuple[datetime, Decimal]]:
    # Counted back from what is spent now: what lies before the first point is in it.
    moment, total = start, spent - sum(costs.values())
    points = [(moment, total)]
    while moment < now:
        total += costs.get(moment, 0)
        moment += step
        points.append((min(moment, now), total))
    return points


def _exhausted_at(
    points: list[tuple[datetime, Decimal]], remaining: Decimal, ends_at: datetime | None
) -> datetime | None:
    now, spent = points[-1]
    far_enough = max(points[0][0], now - _LONGEST_PACE)
    since, spent_before = [point for point in points if point[0] <= far_enough][-1]
    if now - since < _SHORTEST_PACE or spent <= spent_before or remaining <= 0:
        return None
    seconds = (now - since).total_seconds() * float(remaining / (spent - spent_before))
    # Beyond any period, and what a date can hold.
    if seconds > 3650 * _DAY.total_seconds():
        return None
    moment = now + timedelta(seconds=seconds)
    return None if ends_at is not None and moment >= ends_at else moment
