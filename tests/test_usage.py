"""What keys cost, told by the UTC day, week and month."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from keys import series, services, usage
from keys.models import APIKey, KeyUsage, UsageBucket
from keys.models.usage import LimitReset, PeriodCosts

NOW = datetime(2026, 11, 19, 15, 30, tzinfo=UTC)  # a Thursday


@pytest.fixture
def spend(time_machine):
    """Use a key at a moment."""

    def spend(key, moment, cost, byok_cost="0"):
        time_machine.move_to(moment, tick=False)
        verdict = services.verify_key(
            secret=key.secret, address=None, cost=Decimal(cost), byok_cost=Decimal(byok_cost)
        )
        assert verdict.is_valid

    return spend


def test_costs_count_from_the_first_hour_of_each_period(key, spend):
    spend(key, datetime(2026, 10, 31, 23, 59, tzinfo=UTC), "100", "1000")
    spend(key, datetime(2026, 11, 1, tzinfo=UTC), "10", "200")
    spend(key, datetime(2026, 11, 15, 23, 59, tzinfo=UTC), "20")
    spend(key, datetime(2026, 11, 16, tzinfo=UTC), "3")
    spend(key, datetime(2026, 11, 18, 23, 59, 59, tzinfo=UTC), "4", "50")
    spend(key, datetime(2026, 11, 19, tzinfo=UTC), "0.5")
    spend(key, NOW, "0.000001", "6")
    usage.load_period_costs([key], now=NOW)
    assert key.period_costs == PeriodCosts(
        daily=Decimal("0.500001"),
        weekly=Decimal("7.500001"),
        monthly=Decimal("37.500001"),
        byok_daily=Decimal(6),
        byok_weekly=Decimal(56),
        byok_monthly=Decimal(256),
    )


def test_a_week_that_began_last_month_counts_in_full(key, spend):
    tuesday = datetime(2026, 12, 1, 12, tzinfo=UTC)
    spend(key, datetime(2026, 11, 30, 1, tzinfo=UTC), "2")
    spend(key, tuesday, "1")
    usage.load_period_costs([key], now=tuesday)
    costs = key.period_costs
    assert (costs.daily, costs.weekly, costs.monthly) == (Decimal(1), Decimal(3), Decimal(1))


def test_what_was_refused_cost_nothing(key, owner, spend):
    services.update_key(actor=owner, key=key, limit=Decimal(5))
    spend(key, NOW, "4")
    assert not services.verify_key(secret=key.secret, address=None, cost=Decimal(2)).is_valid
    usage.load_period_costs([key], now=NOW)
    assert key.period_costs.monthly == Decimal(4)


def test_a_limit_is_charged_when_costs_are_the_most_there_can_be(key, owner, spend):
    most = Decimal(2**63 - 1).scaleb(-6)
    spend(key, NOW, "1")
    UsageBucket.objects.update(cost=most, byok_cost=most)
    KeyUsage.objects.filter(key=key).update(cost=most, byok_cost=most)
    services.update_key(actor=owner, key=key, limit=Decimal(9), include_byok_in_limit=True)
    totals = KeyUsage.objects.get(key=key)
    assert totals.period_cost == most
    KeyUsage.objects.filter(key=key).update(period_cost=0)
    spend(key, NOW, "2", "3")
    totals.refresh_from_db()
    assert (totals.cost, totals.byok_cost, totals.period_cost) == (most, most, 5)


def test_hours_that_cost_more_together_than_can_be_stored_count_as_the_most(key, owner, spend):
    most = Decimal(2**63 - 1).scaleb(-6)
    for hour in (2, 1, 0):
        spend(key, NOW - timedelta(hours=hour), "1")
    UsageBucket.objects.update(cost=most, byok_cost=Decimal(2**62).scaleb(-6))
    usage.load_period_costs([key], now=NOW)
    assert (key.period_costs.daily, key.period_costs.byok_daily) == (most, most)
    services.update_key(actor=owner, key=key, limit=Decimal(9), limit_reset="weekly")
    assert KeyUsage.objects.get(key=key).period_cost == most
    assert series.spending(actor=owner, key=APIKey.objects.get(pk=key.pk), now=NOW).spent == most


def test_sums_are_exact_up_to_the_most_that_can_be_stored(key, spend):
    for hour in (2, 1, 0):
        spend(key, NOW - timedelta(hours=hour), "1")
    costs = [2**62 - 1, 2**61 + 2**33 - 3, 2**61 - 2**33 + 3]
    for bucket, cost in zip(UsageBucket.objects.order_by("hour"), costs, strict=True):
        UsageBucket.objects.filter(pk=bucket.pk).update(cost=Decimal(cost).scaleb(-6))
    usage.load_period_costs([key], now=NOW)
    assert key.period_costs.daily == Decimal(2**63 - 1).scaleb(-6)
    assert key.period_costs.byok_daily == 0


def test_many_keys_take_one_query_and_none_is_mixed_up(
    key, read_only_key, manage_key, spend, django_assert_num_queries
):
    spend(key, NOW, "1")
    spend(manage_key, NOW, "2")
    with django_assert_num_queries(1):
        usage.load_period_costs([key, read_only_key, manage_key], now=NOW)
    found = [each.period_costs.daily for each in (key, read_only_key, manage_key)]
    assert found == [Decimal(1), Decimal(0), Decimal(2)]


@pytest.mark.parametrize(
    ("reset", "now", "start", "end"),
    [
        ("daily", NOW, "2026-11-19", "2026-11-20"),
        ("weekly", NOW, "2026-11-16", "2026-11-23"),
        ("monthly", NOW, "2026-11-01", "2026-12-01"),
        ("monthly", datetime(2026, 12, 31, 23, 59, tzinfo=UTC), "2026-12-01", "2027-01-01"),
        ("monthly", datetime(2028, 2, 29, tzinfo=UTC), "2028-02-01", "2028-03-01"),
        ("weekly", datetime(2026, 11, 22, 23, 59, tzinfo=UTC), "2026-11-16", "2026-11-23"),
        ("weekly", datetime(2026, 11, 23, tzinfo=UTC), "2026-11-23", "2026-11-30"),
    ],
)
def test_a_period_ends_where_the_next_one_begins(reset, now, start, end):
    start, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (start, end))
    assert LimitReset.period_start(reset, now) == start
    assert LimitReset.period_end(reset, now) == end
    assert LimitReset.period_start(reset, end) == end
    assert LimitReset.period_start(reset, end - timedelta(seconds=1)) == start


def test_what_never_resets_has_no_period():
    assert LimitReset.period_start(None, NOW) is None
    assert LimitReset.period_end(None, NOW) is None
