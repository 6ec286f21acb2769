"""Uses counted together: every table says the same, in whatever order they are added."""

import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from keys import services, tallies
from keys.models import APIKey, KeySecret, KeyUsage, MinuteBucket, ScopeUse, UsageBucket
from keys.tallies import Tally

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _now(time_machine):
    time_machine.move_to(NOW, tick=False)


@pytest.fixture
def tally(key):
    """Return uses of the key, in one minute."""

    def tally(requests=1, minute=NOW, of=key, **more) -> Tally:
        secret = of.current_secret
        last_at = minute + timedelta(seconds=5)
        values = {"outcome": "VALID", "requests": requests, "last_at": last_at, **more}
        return Tally(secret.pk, of.pk, minute, **values)

    return tally


def totals(key) -> KeyUsage:
    return KeyUsage.objects.get(key=key)


class TestEveryTable:
    """Added to what is there, and to what is not there yet."""

    def test_uses_add_up(self, key, tally):
        for _ in range(2):
            tallies.apply(
                [
                    tally(3, cost=2_000_000, byok_cost=1, scopes=("CREATE", "READ")),
                    tally(2, NOW + MINUTE, scopes=("READ",)),
                    tally(4, outcome="DISABLED", cost=5_000_000, scopes=("READ",)),
                ]
            )
        found = totals(key)
        assert (found.requests, found.refused) == (10, 8)
        assert (found.cost, found.byok_cost) == (12, Decimal("0.000006"))
        assert found.period_cost == 12
        hours = UsageBucket.objects.values_list("hour", "outcome", "requests", "cost")
        hour = NOW.replace(minute=0)
        assert set(hours) == {(hour, "VALID", 10, 12), (hour, "DISABLED", 8, 0)}
        minutes = MinuteBucket.objects.values_list("minute", "outcome", "requests")
        assert set(minutes) == {
            (NOW, "VALID", 6),
            (NOW, "DISABLED", 8),
            (NOW + MINUTE, "VALID", 4),
        }
        scopes = ScopeUse.objects.values_list("code", "requests", "last_used_at")
        assert set(scopes) == {
            ("CREATE", 6, NOW + timedelta(seconds=5)),
            ("READ", 10, NOW + MINUTE + timedelta(seconds=5)),
        }

    @pytest.mark.parametrize(("already", "times"), [(2**63 - 10**12, 1), (0, 10**7)])
    def test_no_cost_is_more_than_a_column_holds(
        self, developer, key, read_only_key, tally, already, times
    ):
        """It stays at the most there is, and the uses of others are counted."""
        services.update_key(actor=developer, key=key, limit=Decimal(9), include_byok_in_limit=True)
        cost = Decimal(already).scaleb(-6)
        if already:
            tallies.apply([tally(1)])
        KeyUsage.objects.filter(key=key).update(cost=cost, byok_cost=cost, period_cost=cost)
        UsageBucket.objects.update(cost=cost, byok_cost=cost)
        dear = tally(times, cost=10**12, byok_cost=10**12)
        tallies.apply([dear, tally(1, of=read_only_key, cost=3)])
        most, of_key, hour = Decimal(2**63 - 1).scaleb(-6), totals(key), key.usage_buckets.get()
        assert [of_key.cost, of_key.byok_cost, of_key.period_cost] == [most] * 3
        assert [hour.cost, hour.byok_cost] == [most] * 2
        assert totals(read_only_key).cost == Decimal("0.000003")

    def test_many_keys_are_not_mixed_up(self, key, read_only_key, tally):
        tallies.apply([tally(3), tally(1, of=read_only_key), tally(2, NOW + MINUTE)])
        assert (totals(key).requests, totals(read_only_key).requests) == (5, 1)

    def test_the_number_of_queries_is_that_of_the_tables(
        self, key, read_only_key, manage_key, tally, django_assert_max_num_queries
    ):
        keys = [key, read_only_key, manage_key]
        many = [tally(1, NOW + n * MINUTE, of=keys[n % 3], scopes=("READ",)) for n in range(30)]
        # With the savepoint around them.
        with django_assert_max_num_queries(11):
            tallies.apply(many)

    def test_what_was_charged_is_in_totals_and_hours_already(self, key, tally):
        tallies.apply([tally(2, cost=1_000_000, is_charged=True, scopes=("READ",))])
        assert totals(key).requests == 0
        assert not UsageBucket.objects.exists()
        assert MinuteBucket.objects.get().requests == ScopeUse.objects.get().requests == 2
        assert KeySecret.objects.get(key=key).last_used_at == NOW + timedelta(seconds=5)

    def test_a_grant_is_no_use(self, key, tally):
        tallies.apply([tally(2, is_grant=True, scopes=("MANAGE",))])
        assert ScopeUse.objects.get().requests == 2
        assert not MinuteBucket.objects.exists()
        assert KeySecret.objects.get(key=key).last_used_at is None

    def test_secrets_that_are_not_there_are_dropped(self, key, read_only_key, tally, caplog):
        foreign = tally(5)._replace(secret_id=10**9)
        mistaken = tally(7)._replace(key_id=read_only_key.pk)
        with caplog.at_level(logging.WARNING):
            tallies.apply([foreign, tally(1), mistaken])
        assert totals(key).requests == 1
        assert totals(read_only_key).requests == 0
        assert "12 uses of secrets" in caplog.text


class TestLate:
    """Hosts add what they counted when they can: earlier uses come after later ones."""

    def test_the_last_use_is_the_latest_one(self, key, tally):
        early, late = NOW, NOW + 3 * MINUTE
        for minute, agent in [(late, "late"), (early, "early")]:
            tallies.apply(
                [tally(1, minute, last_address="203.0.113.9", user_agent=agent, scopes=("READ",))]
            )
        latest = late + timedelta(seconds=5)
        found = totals(key)
        assert (found.last_used_at, found.last_user_agent) == (latest, "late")
        assert found.last_address == "203.0.113.9"
        assert ScopeUse.objects.get().last_used_at == latest
        assert KeySecret.objects.get(key=key).last_used_at == latest

    def test_a_refusal_is_no_use(self, key, tally):
        tallies.apply([tally(1), tally(1, NOW + MINUTE, outcome="DISABLED", user_agent="x")])
        found = totals(key)
        assert (found.last_used_at, found.last_user_agent) == (NOW + timedelta(seconds=5), "")

    @pytest.mark.parametrize("reset", ["daily", "weekly", "monthly"])
    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    @pytest.mark.parametrize("is_together", [True, False])
    def test_a_period_that_is_over_counts_no_more(
        self, developer, key, tally, reset, order, is_together
    ):
        """At the border of the calendar, however late the last uses of before it come."""
        services.update_key(actor=developer, key=key, limit=Decimal(100), limit_reset=reset)
        border = {
            "daily": datetime(2028, 2, 29, tzinfo=UTC),
            "weekly": datetime(2027, 1, 4, tzinfo=UTC),
            "monthly": datetime(2027, 1, 1, tzinfo=UTC),
        }[reset]
        uses = [tally(3, border - MINUTE, cost=1_000_000), tally(2, border, cost=1_000_000)]
        uses = [uses[index] for index in order]
        for some in [uses] if is_together else [[each] for each in uses]:
            tallies.apply(some)
        found = totals(key)
        assert (found.period_start, found.period_cost, found.cost) == (border, 2, 5)
        assert APIKey.objects.get(pk=key.pk).remaining_at(border) == 98

    def test_own_provider_keys_count_where_they_are_to(self, developer, key, tally):
        services.update_key(
            actor=developer, key=key, limit=Decimal(100), include_byok_in_limit=True
        )
        tallies.apply([tally(2, cost=1_000_000, byok_cost=2_000_000)])
        assert totals(key).period_cost == 6

    def test_refusals_begin_no_period(self, developer, key, tally):
        services.update_key(actor=developer, key=key, limit=Decimal(9), limit_reset="daily")
        tallies.apply([tally(1, cost=1_000_000)])
        before = totals(key)
        tallies.apply([tally(1, NOW + timedelta(days=1), outcome="LIMIT_EXCEEDED")])
        after = totals(key)
        assert (after.period_start, after.period_cost) == (before.period_start, 1)
