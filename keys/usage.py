"""Counting what was verified, and charging limits: nothing lost, nothing overspent.

Processes that serve keep a journal of uses, from which folding.py adds them to the tables
soon after; others count in the tables at once. What a key with a limit costs is charged in
its totals at once by everybody.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Coalesce, Least
from django.utils.translation import gettext as _

from keys import decisions, folding, tallies
from keys import journal as journals
from keys.decisions import Judged
from keys.models import APIKey, Decision, KeyUsage, UsageBucket
from keys.models.fields import AMOUNT_PLACES, AmountField, AmountSum
from keys.models.usage import LimitReset, PeriodCosts
from keys.networks import Address
from keys.tallies import Tally
from keys.upserts import MOST
from keys.verification import Code

_AMOUNT = AmountField()
# As amounts are stored. Most uses cost the same.
millionths = lru_cache(maxsize=1024)(_AMOUNT.get_prep_value)

# Of one use. A total takes nine million such uses, and stays at the most it can hold then.
MAX_COST = Decimal(10) ** 6
_MAX_TOTAL = Decimal(MOST).scaleb(-AMOUNT_PLACES)

# The journal of this process, where it keeps one.
journal: journals.Journal | None = None

_tidied_at: datetime | None = None

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a key was judged by one of its secrets, and what is known of the request.

    `method` and `path` are those of calls to the portal itself, `request_id` is of the
    request that asked. Costs are what the use would cost; it is free when refused.
    `is_charged` says that charge() counted it already.
    """

    secret_id: int
    key_id: int
    at: datetime
    outcome: Code
    door: Decision.Door
    address: Address | None = None
    user_agent: str = ""
    scopes: frozenset[str] = frozenset()
    cost: Decimal = Decimal(0)
    byok_cost: Decimal = Decimal(0)
    method: str = ""
    path: str = ""
    request_id: str = ""
    is_charged: bool = False


def keep_journal(directory: Path) -> None:
    """Let this process note uses in a journal from now on, in the directory of its host's state.

    Raises OSError.
    """
    global journal
    if journal is None:
        journal = journals.open(folding.journal_directory(directory))


def drop_journal() -> None:
    """Let this process count in the tables at once again."""
    global journal
    if journal is not None:
        journal.close()
    journal = None


def clean_cost(cost: Any, field: str) -> Decimal:
    """Return what one use costs as an exact amount. Raises ValidationError for `field`."""
    try:
        amount = _AMOUNT.clean(cost, None)
    except ValidationError as error:
        raise ValidationError({field: error.messages}) from None
    if not 0 <= amount <= MAX_COST:
        raise ValidationError({field: _("A use costs from 0 to %(max)d.") % {"max": MAX_COST}})
    return amount


def count(judgement: Judgement, *, has_limit: bool) -> Code:
    """Charge a use that its key's limit allows, record the outcome, and return it.

    That is LIMIT_EXCEEDED where the limit forbids the use. Raises JournalFull: then nothing
    was charged or counted.
    """
    if not has_limit or judgement.outcome is not Code.VALID:
        record(judgement)
        return judgement.outcome
    with transaction.atomic():
        is_charged = charge(judgement)
        outcome = Code.VALID if is_charged else Code.LIMIT_EXCEEDED
        record(replace(judgement, outcome=outcome, is_charged=is_charged))
    return outcome


def charge(use: Judgement) -> bool:
    """Add one accepted use and its cost to its key's totals; False when the limit forbids it.

    Totals and hours have it then: record() is to be told that it `is_charged`. Uses at the
    same moment never spend more than the limit together: they wait for each other here, and
    so does whoever changes the terms of the limit. Those are read after that wait.
    """
    with transaction.atomic():
        totals = KeyUsage.objects.filter(key=use.key_id)
        last = totals.select_for_update().values_list("period_start", flat=True).first()
        terms = APIKey.objects.values_list("limit", "limit_reset", "include_byok_in_limit")
        limit, reset, include_byok = terms.get(pk=use.key_id)
        period = LimitReset.period_start(reset, use.at)
        if period and last and last > period:
            # A host whose clock is behind does not begin a period again that is over.
            period = last
        counted = use.cost + use.byok_cost if include_byok else use.cost
        spent = _spent_in(period)
        if limit is not None and counted > 0:
            left = Value(limit - counted, output_field=_AMOUNT)
            totals = totals.annotate(spent=spent).filter(spent__lte=left)
        changed = totals.update(
            requests=F("requests") + 1,
            cost=_capped_sum(F("cost"), use.cost),
            byok_cost=_capped_sum(F("byok_cost"), use.byok_cost),
            period_cost=_capped_sum(spent, counted),
            period_start=period,
            last_used_at=use.at,
            last_address=str(use.address) if use.address else None,
            last_user_agent=journals.presentable(use.user_agent, journals.MAX_TEXT_LENGTH),
        )
        if changed:
            tallies.add_hours([_tally(use)])
    return bool(changed)


def record(judgement: Judgement) -> None:
    """Count a judgement in every total it belongs to, and keep it among the latest decisions.

    In a transaction in which it was charged, this comes last. Raises JournalFull.
    """
    if journal is not None:
        _append(journal, judgement, journals.IS_CHARGED if judgement.is_charged else 0)
        return
    words = journals.wording(
        judgement.user_agent, judgement.scopes, judgement.method, judgement.path
    )
    tally = _tally(judgement)._replace(
        last_address=str(judgement.address) if judgement.address else None,
        user_agent=words.user_agent,
        scopes=words.scopes,
    )
    if tallies.apply([tally]):
        decisions.remember([_judged(judgement, words)])
    _tidy(judgement.at)


class Metered(Protocol):
    """A key, or what is remembered of one."""

    limit: Decimal | None
    limit_reset: str | None


def remaining(key_id: int, metered: Metered, *, now: datetime) -> Decimal | None:
    """Return what is left of a key's limit at that moment, never below zero; None: no limit."""
    if metered.limit is None:
        return None
    totals = KeyUsage.objects.get(key=key_id)
    return totals.left_of(metered.limit, metered.limit_reset, now)


def note_scopes(*, secret_id: int, key_id: int, codes: Collection[str], now: datetime) -> None:
    """Count that the key was let through for each of these scopes. Raises JournalFull."""
    if not codes:
        return
    grant = Judgement(
        secret_id, key_id, now, Code.VALID, Decision.Door.API, scopes=frozenset(codes)
    )
    if journal is not None:
        _append(journal, grant, journals.IS_GRANT)
    else:
        tallies.apply([_tally(grant)._replace(scopes=tuple(sorted(codes)), is_grant=True)])


def note_login(key_id: int, *, now: datetime, address: str | None) -> None:
    """Remember that the key was exchanged for tokens: when, and from where."""
    KeyUsage.objects.filter(key=key_id).update(last_login_at=now, last_login_address=address)


def restate_period(key: APIKey, *, now: datetime) -> None:
    """Recount what was spent in the current period, after its limit began to reset otherwise."""
    period = LimitReset.period_start(key.limit_reset, now)
    # Locked first, so that what is being counted is in the sum or comes after it.
    KeyUsage.objects.select_for_update().get(key=key)
    buckets = UsageBucket.objects.filter(key=key)
    if period is not None:
        buckets = buckets.filter(hour__gte=period)
    spent = buckets.aggregate(
        cost=Coalesce(AmountSum("cost"), _amount(0)),
        byok=Coalesce(AmountSum("byok_cost"), _amount(0)),
    )
    counted = spent["cost"] + (spent["byok"] if key.include_byok_in_limit else 0)
    KeyUsage.objects.filter(key=key).update(
        period_start=period, period_cost=min(counted, _MAX_TOTAL)
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
        f"{prefix}{reset}": Coalesce(AmountSum(column, filter=Q(hour__gte=start)), _amount(0))
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


def _capped_sum(total: F | Case, amount: Decimal) -> CombinedExpression:
    return Least(total, _amount(_MAX_TOTAL - amount)) + _amount(amount)


def _append(kept: journals.Journal, judgement: Judgement, flags: int) -> None:
    kept.append(
        judgement.secret_id,
        judgement.key_id,
        _microseconds(judgement.at),
        journals.OUTCOMES[judgement.outcome],
        journals.DOORS[judgement.door],
        kept.text(judgement.user_agent, judgement.scopes, judgement.method, judgement.path),
        millionths(judgement.cost),
        millionths(judgement.byok_cost),
        journals.pack_address(judgement.address),
        journals.pack_request(judgement.request_id),
        flags,
    )


def _tally(judgement: Judgement) -> Tally:
    return Tally(
        secret_id=judgement.secret_id,
        key_id=judgement.key_id,
        minute=judgement.at.replace(second=0, microsecond=0),
        outcome=judgement.outcome.value,
        requests=1,
        last_at=judgement.at,
        cost=_AMOUNT.get_prep_value(judgement.cost),
        byok_cost=_AMOUNT.get_prep_value(judgement.byok_cost),
        is_charged=judgement.is_charged,
    )


def _judged(judgement: Judgement, wording: journals.Wording) -> Judged:
    return Judged(
        key_id=judgement.key_id,
        secret_id=judgement.secret_id,
        at=judgement.at,
        outcome=judgement.outcome.value,
        door=judgement.door.value,
        address=str(judgement.address) if judgement.address else None,
        wording=wording,
        cost=_AMOUNT.get_prep_value(judgement.cost),
        request_id=judgement.request_id,
    )


def _tidy(now: datetime) -> None:
    """Drop some of what is no longer kept, once a minute."""
    global _tidied_at
    minute = now.replace(second=0, microsecond=0)
    if minute != _tidied_at:
        _tidied_at = minute
        decisions.tidy(now=now)


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _amount(value: Decimal | int) -> Value:
    return Value(value, output_field=_AMOUNT)
