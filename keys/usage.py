"""Counting what was verified, and charging limits: nothing lost, nothing overspent."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Case, F, Model, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from keys import roles, secrets
from keys.models import (
    APIKey,
    Decision,
    KeySecret,
    KeyUsage,
    MinuteBucket,
    ScopeUse,
    UsageBucket,
)
from keys.models.fields import AmountField
from keys.models.usage import LimitReset, PeriodCosts
from keys.verification import Code

_AMOUNT = AmountField()

# Of one use; so many uses of that cost fit into a total that none ever overflows.
MAX_COST = Decimal(10) ** 6

# Decisions are kept so long, and no more of a key than DECISIONS_KEPT_PER_KEY.
DECISIONS_KEPT_FOR = timedelta(days=30)
MINUTES_KEPT_FOR = timedelta(hours=2)
_SCOPES_REMEMBERED = 20
_DELETED_AT_ONCE = 1000

_WORD = re.compile(r"[\w-]+")


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a key was judged by one of its secrets, and what is known of the request.

    `method` and `path` are those of calls to the portal itself, `request_id` is of the
    request that asked. Costs are what the use would cost; it is free when refused.
    """

    secret: KeySecret
    at: datetime
    outcome: Code
    door: Decision.Door
    address: str | None = None
    user_agent: str = ""
    scopes: frozenset[str] = frozenset()
    cost: Decimal = Decimal(0)
    byok_cost: Decimal = Decimal(0)
    method: str = ""
    path: str = ""
    request_id: str = ""


def clean_cost(cost: Any, field: str) -> Decimal:
    """Return what one use costs as an exact amount. Raises ValidationError for `field`."""
    try:
        amount = _AMOUNT.clean(cost, None)
    except ValidationError as error:
        raise ValidationError({field: error.messages}) from None
    if not 0 <= amount <= MAX_COST:
        raise ValidationError({field: _("A use costs from 0 to %(max)d.") % {"max": MAX_COST}})
    return amount


def charge(
    key: APIKey,
    *,
    now: datetime,
    cost: Decimal,
    byok_cost: Decimal,
    address: str | None,
    user_agent: str,
) -> bool:
    """Count one accepted use of the key and charge its cost; False when the limit forbids it.

    One UPDATE with the limit in its WHERE clause, so that uses at the same moment
    never spend more than the limit together.
    """
    counted = cost + byok_cost if key.include_byok_in_limit else cost
    period = LimitReset.period_start(key.limit_reset, now)
    spent = _spent_in(period)
    totals = KeyUsage.objects.filter(key=key).annotate(spent=spent)
    if key.limit is not None and counted > 0:
        totals = totals.filter(spent__lte=Value(key.limit - counted, output_field=_AMOUNT))
    changed = totals.update(
        requests=F("requests") + 1,
        cost=F("cost") + _amount(cost),
        byok_cost=F("byok_cost") + _amount(byok_cost),
        period_cost=spent + _amount(counted),
        period_start=period,
        last_used_at=now,
        last_address=address,
        last_user_agent=_presentable(user_agent, 200),
    )
    return bool(changed)


def record(judgement: Judgement) -> None:
    """Count a judgement in every total it belongs to, and keep it among the latest decisions.

    To be called in a transaction, of which an accepted use is charged at first: that makes
    those who use a key at the same moment wait for each other.
    """
    if judgement.outcome is not Code.VALID:
        KeyUsage.objects.filter(key=judgement.secret.key_id).update(refused=F("refused") + 1)
    _count_hour(judgement)
    is_first_of_minute = _count_minute(judgement)
    if judgement.outcome is Code.VALID:
        note_scopes(judgement.secret.key, judgement.scopes, now=judgement.at)
    if settings.DECISIONS_KEPT_PER_KEY:
        _remember(judgement)
    if is_first_of_minute:
        _tidy(judgement.secret.key_id, judgement.at)


def note_scopes(key: APIKey, codes: Collection[str], *, now: datetime) -> None:
    """Count that the key was let through for each of these scopes."""
    if not codes:
        return
    rows = ScopeUse.objects.filter(key=key, code__in=codes)
    if rows.update(requests=F("requests") + 1, last_used_at=now) == len(codes):
        return
    new = set(codes) - set(rows.values_list("code", flat=True))
    ScopeUse.objects.bulk_create(
        [ScopeUse(key=key, code=code, requests=1, last_used_at=now) for code in sorted(new)],
        ignore_conflicts=True,
    )


def purge(*, now: datetime) -> dict[type[Model], int]:
    """Delete what is kept for a while only and is past that; return how many rows of each kind."""
    since = now - DECISIONS_KEPT_FOR if settings.DECISIONS_KEPT_PER_KEY else now
    return {
        Decision: _delete_oldest(Decision.objects.order_by("pk"), "at", since),
        MinuteBucket: _delete_oldest(
            MinuteBucket.objects.order_by("pk"), "minute", now - MINUTES_KEPT_FOR
        ),
    }


def note_login(key: APIKey, *, now: datetime, address: str | None) -> None:
    """Remember that the key was exchanged for tokens: when, and from where."""
    KeyUsage.objects.filter(key=key).update(last_login_at=now, last_login_address=address)


def restate_period(key: APIKey, *, now: datetime) -> None:
    """Recount what was spent in the current period, after its limit began to reset otherwise."""
    period = LimitReset.period_start(key.limit_reset, now)
    # Locked first, so that what is being counted is in the sum or comes after it.
    KeyUsage.objects.select_for_update().get(key=key)
    buckets = UsageBucket.objects.filter(key=key)
    if period is not None:
        buckets = buckets.filter(hour__gte=period)
    spent = buckets.aggregate(
        cost=Coalesce(Sum("cost"), _amount(0)), byok=Coalesce(Sum("byok_cost"), _amount(0))
    )
    KeyUsage.objects.filter(key=key).update(
        period_start=period,
        period_cost=spent["cost"] + (spent["byok"] if key.include_byok_in_limit else 0),
    )


def load_period_costs(keys: Iterable[APIKey], *, now: datetime) -> None:
    """Set `key.period_costs` of each key to what it cost since day, week and month began.

    One query, however many keys. Uses are counted by the hour, in which no period begins.
    """
    rows = {key.pk: key for key in keys}
    starts = {
        reset.value: start for reset in LimitReset if (start := LimitReset.period_start(reset, now))
    }
    sums = {
        f"{prefix}{reset}": Coalesce(Sum(column, filter=Q(hour__gte=start)), _amount(0))
        for prefix, column in (("", "cost"), ("byok_", "byok_cost"))
        for reset, start in starts.items()
    }
    buckets = UsageBucket.objects.filter(key__in=rows, hour__gte=min(starts.values())).order_by()
    found = {
        pk: PeriodCosts(**dict(zip(sums, costs, strict=True)))
        for pk, *costs in buckets.values_list("key").annotate(**sums)
    }
    for pk, key in rows.items():
        key.period_costs = found.get(pk) or PeriodCosts()


def _spent_in(period: datetime | None) -> Case:
    is_current = Q(period_start=period) if period else Q(period_start=None)
    return Case(When(is_current, then=F("period_cost")), default=_amount(0), output_field=_AMOUNT)


def _count_hour(judgement: Judgement) -> None:
    is_paid = judgement.outcome is Code.VALID
    _add(
        UsageBucket,
        {
            "key_id": judgement.secret.key_id,
            "secret": judgement.secret,
            "hour": judgement.at.replace(minute=0, second=0, microsecond=0),
            "outcome": judgement.outcome.value,
        },
        requests=1,
        cost=judgement.cost if is_paid else Decimal(0),
        byok_cost=judgement.byok_cost if is_paid else Decimal(0),
    )


def _count_minute(judgement: Judgement) -> bool:
    return _add(
        MinuteBucket,
        {
            "key_id": judgement.secret.key_id,
            "minute": judgement.at.replace(second=0, microsecond=0),
            "outcome": judgement.outcome.value,
        },
        requests=1,
    )


def _add(model: type[Model], lookup: dict[str, Any], **amounts: Decimal | int) -> bool:
    """Add amounts to the columns of one row; say whether the row had to be made for that."""
    row = model._default_manager.filter(**lookup)
    sums = {
        name: F(name) + (_amount(amount) if isinstance(amount, Decimal) else amount)
        for name, amount in amounts.items()
    }
    if row.update(**sums):
        return False
    try:
        with transaction.atomic():
            model._default_manager.create(**lookup, **amounts)
    except IntegrityError:  # another process made it meanwhile
        row.update(**sums)
        return False
    return True


def _remember(judgement: Judgement) -> None:
    Decision.objects.create(
        key_id=judgement.secret.key_id,
        secret=judgement.secret,
        at=judgement.at,
        outcome=judgement.outcome.value,
        door=judgement.door,
        address=judgement.address,
        user_agent=_presentable(judgement.user_agent, 200),
        scopes=sorted(filter(roles.is_scope_code, judgement.scopes))[:_SCOPES_REMEMBERED],
        method=_presentable(judgement.method, 10),
        path=_presentable(judgement.path, 200),
        cost=judgement.cost if judgement.outcome is Code.VALID else Decimal(0),
        request_id=judgement.request_id,
    )


def _tidy(key_id: int, now: datetime) -> None:
    """Drop what is no longer kept of one key: little, when it is done once a minute."""
    MinuteBucket.objects.filter(key=key_id, minute__lt=now - MINUTES_KEPT_FOR).delete()
    decisions = Decision.objects.filter(key=key_id)
    kept = settings.DECISIONS_KEPT_PER_KEY
    surplus = decisions.order_by("-id").values_list("id", flat=True)[kept : kept + 1].first()
    if surplus is not None:
        decisions.filter(id__lte=surplus).delete()


def _delete_oldest(rows: QuerySet, moment: str, before: datetime) -> int:
    # Rows are numbered as time goes: nothing but the oldest is looked at.
    deleted = 0
    while True:
        oldest = rows.values_list("pk", moment)[:_DELETED_AT_ONCE]
        past = [pk for pk, at in oldest if at < before]
        deleted += rows.model._default_manager.filter(pk__in=past).delete()[0]
        if len(past) < _DELETED_AT_ONCE:
            return deleted


def _presentable(text: str, length: int) -> str:
    """Return what was sent as text that can be stored and shown: without secrets, cut."""
    # A header may hold what no database stores.
    storable = text.replace("\x00", "").encode("utf-8", "replace").decode()
    presentable = _WORD.sub(lambda word: "…" if secrets.find_format(word[0]) else word[0], storable)
    return presentable[:length]


def _amount(value: Decimal | int) -> Value:
    return Value(value, output_field=_AMOUNT)
