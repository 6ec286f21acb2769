"""Counting what was verified, and charging limits: nothing lost, nothing overspent."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Case, F, Q, Sum, Value, When
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from keys.models import APIKey, KeySecret, KeyUsage, UsageBucket
from keys.models.fields import AmountField
from keys.models.usage import LimitReset, PeriodCosts
from keys.verification import Code

_AMOUNT = AmountField()

# Of one use; so many uses of that cost fit into a total that none ever overflows.
MAX_COST = Decimal(10) ** 6


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
        last_user_agent=_storable(user_agent)[:200],
    )
    return bool(changed)


def count(
    secret: KeySecret,
    *,
    outcome: Code,
    now: datetime,
    cost: Decimal = Decimal(0),
    byok_cost: Decimal = Decimal(0),
) -> None:
    """Count one judgement by a secret in its hour's bucket, in its key's total when refused."""
    if outcome is not Code.VALID:
        KeyUsage.objects.filter(key=secret.key_id).update(refused=F("refused") + 1)
        cost = byok_cost = Decimal(0)
    bucket = {
        "key_id": secret.key_id,
        "secret": secret,
        "hour": now.replace(minute=0, second=0, microsecond=0),
        "outcome": outcome.value,
    }
    amounts = {"requests": 1, "cost": cost, "byok_cost": byok_cost}
    if _add_to_bucket(bucket, amounts):
        return
    try:
        with transaction.atomic():
            UsageBucket.objects.create(**bucket, **amounts)
    except IntegrityError:  # another process made it meanwhile
        _add_to_bucket(bucket, amounts)


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


def _storable(text: str) -> str:
    # A header may hold what no database stores.
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _spent_in(period: datetime | None) -> Case:
    is_current = Q(period_start=period) if period else Q(period_start=None)
    return Case(When(is_current, then=F("period_cost")), default=_amount(0), output_field=_AMOUNT)


def _add_to_bucket(bucket: dict, amounts: dict) -> int:
    return UsageBucket.objects.filter(**bucket).update(
        requests=F("requests") + amounts["requests"],
        cost=F("cost") + _amount(amounts["cost"]),
        byok_cost=F("byok_cost") + _amount(amounts["byok_cost"]),
    )


def _amount(value: Decimal | int) -> Value:
    return Value(value, output_field=_AMOUNT)
