"""How keys were used over time: no slot is missing, nothing that is not seen is counted."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from keys import policy, search, series, services
from keys.models import APIKey, MinuteBucket, UsageBucket
from keys.networks import parse_address
from keys.series import Range
from keys.verification import Code

NOW = datetime(2026, 11, 19, 15, 31, 40, tzinfo=UTC)  # a Thursday
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ALL = APIKey.objects.all


@pytest.fixture
def now(time_machine):
    time_machine.move_to(NOW, tick=False)
    return time_machine


@pytest.fixture
def used(now):
    """Write down that a key was used some time ago."""

    def used(key, ago, requests, outcome=Code.VALID, **amounts):
        hour = (NOW - ago).replace(minute=0, second=0, microsecond=0)
        UsageBucket.objects.create(
            key=key,
            secret=key.current_secret,
            hour=hour,
            outcome=outcome,
            requests=requests,
            **amounts,
        )

    return used


def outcomes(actor, span, keys=None):
    keys = ALL() if keys is None else keys
    return series.outcomes(actor=actor, keys=keys, span=span, now=NOW)


class TestOutcomes:
    """A chart's columns."""

    @pytest.mark.parametrize(
        ("span", "count", "first", "last"),
        [
            (Range.HOUR, 60, "2026-11-19T14:32", "2026-11-19T15:31"),
            (Range.DAY, 24, "2026-11-18T16:00", "2026-11-19T15:00"),
            (Range.WEEK, 28, "2026-11-12T18:00", "2026-11-19T12:00"),
            (Range.MONTH, 30, "2026-10-21T00:00", "2026-11-19T00:00"),
        ],
    )
    def test_every_slot_is_there_up_to_this_moment(self, owner, acme, span, count, first, last):
        slots = outcomes(owner, span)
        assert len(slots) == count
        assert slots[0].start.isoformat()[:16] == first
        assert slots[-1].start.isoformat()[:16] == last
        assert {later.start - slot.start for slot, later in pairwise(slots)} == {span.step}
        assert sum(slot.total for slot in slots) == 0

    @pytest.mark.parametrize("span", [Range.DAY, Range.WEEK, Range.MONTH])
    def test_uses_are_in_the_slot_of_their_hour(self, owner, key, used, span):
        used(key, timedelta(0), 5)
        used(key, timedelta(0), 2, Code.EXPIRED)
        used(key, span.span - span.step, 7)
        used(key, span.span + span.step, 100)
        slots = outcomes(owner, span)
        assert slots[-1].outcomes == {"VALID": 5, "EXPIRED": 2}
        assert (slots[-1].accepted, slots[-1].refused) == (5, 2)
        assert slots[0].outcomes == {"VALID": 7} or slots[1].outcomes == {"VALID": 7}
        assert sum(slot.total for slot in slots) == 14

    def test_hours_of_one_slot_are_added_up(self, owner, key, read_only_key, used):
        used(key, timedelta(0), 1)
        used(key, 3 * HOUR, 10)
        used(key, 4 * HOUR, 100)
        used(read_only_key, timedelta(0), 1000)
        slots = outcomes(owner, Range.WEEK)
        assert [slot.accepted for slot in slots[-2:]] == [100, 1011]

    def test_the_last_hour_is_told_by_the_minute(self, now, owner, key):
        address = parse_address("192.0.2.1")
        now.move_to(NOW - 59 * MINUTE, tick=False)
        services.verify_key(secret=key.secret, address=address)
        now.move_to(NOW, tick=False)
        services.verify_key(secret=key.secret, address=address)
        services.verify_key(secret=key.secret, address=address, scopes=["MANAGE"])
        MinuteBucket.objects.create(
            key=key, minute=(NOW - HOUR).replace(second=0), outcome="VALID", requests=9
        )
        slots = outcomes(owner, Range.HOUR)
        assert slots[0].outcomes == {"VALID": 1}
        assert slots[-1].outcomes == {"VALID": 1, "INSUFFICIENT_SCOPES": 1}
        assert sum(slot.total for slot in slots) == 3

    @pytest.mark.parametrize("span", Range)
    def test_one_query_however_many_keys(
        self, owner, key, read_only_key, manage_key, used, span, django_assert_num_queries
    ):
        for each in (key, read_only_key, manage_key):
            used(each, timedelta(0), 1)
        with django_assert_num_queries(1):
            outcomes(owner, span)

    def test_nobody_counts_what_they_do_not_see(
        self, owner, developer, viewer, stranger, key, manage_key, strangers_key, used
    ):
        for number, each in enumerate((key, manage_key, strangers_key)):
            used(each, timedelta(0), 10**number)
        for person, total in ((owner, 11), (developer, 1), (viewer, 0), (stranger, 100)):
            assert sum(slot.total for slot in outcomes(person, Range.DAY)) == total
            since = {"actor": person, "keys": ALL(), "since": NOW - DAY}
            assert series.totals_since(**since) == {"accepted": total, "refused": 0}

    def test_only_the_keys_asked_for_count(self, owner, key, manage_key, used):
        used(key, timedelta(0), 1)
        used(manage_key, timedelta(0), 10)
        slots = outcomes(owner, Range.DAY, keys=ALL().with_details().filter(pk=key.pk))
        assert sum(slot.total for slot in slots) == 1


def test_totals_count_from_the_hour_on(owner, key, used):
    used(key, DAY, 1)
    used(key, DAY + HOUR, 10)
    used(key, timedelta(0), 100, Code.LOCKED)
    totals = series.totals_since(actor=owner, keys=ALL(), since=NOW - DAY)
    assert totals == {"accepted": 1, "refused": 100}


class TestSparklines:
    """Thirty days of each key of a page."""

    def test_each_key_has_its_own_days_in_one_query(
        self, owner, key, read_only_key, manage_key, used, django_assert_num_queries
    ):
        used(key, timedelta(0), 3)
        used(key, 29 * DAY, 4, Code.EXPIRED)
        used(key, 30 * DAY, 100)
        used(manage_key, DAY, 5)
        with django_assert_num_queries(1):
            lines = series.sparklines(actor=owner, keys=[key, read_only_key, manage_key], now=NOW)
        assert {len(slots) for slots in lines.values()} == {30}
        assert (lines[key.pk][0].refused, lines[key.pk][-1].accepted) == (4, 3)
        assert [slot.total for slot in lines[manage_key.pk][-2:]] == [5, 0]
        assert not any(slot.total for slot in lines[read_only_key.pk])

    def test_a_key_that_is_not_seen_looks_unused(self, developer, manage_key, used):
        used(manage_key, timedelta(0), 3)
        lines = series.sparklines(actor=developer, keys=[manage_key], now=NOW)
        assert not any(slot.total for slot in lines[manage_key.pk])


class TestBySecret:
    """Both curves of a rotation."""

    def test_an_overlap_shows_both_secrets_apart(self, now, developer, key, used):
        used(key, 5 * DAY, 8)
        renewed = services.rotate_key(actor=developer, key=key, overlap=DAY)
        for each in (key, renewed, renewed):
            services.verify_key(secret=each.secret, address=None)
        curves = series.by_secret(actor=developer, key=renewed, now=NOW)
        assert [secret.label for secret, _slots in curves] == [key.label, renewed.label]
        assert [len(slots) for _secret, slots in curves] == [56, 56]
        assert [slots[-1].accepted for _secret, slots in curves] == [1, 2]
        assert sum(slot.total for slot in curves[0][1]) == 9

    def test_a_secret_of_long_ago_is_left_out(self, now, developer, key):
        now.move_to(NOW - 15 * DAY, tick=False)
        services.verify_key(secret=key.secret, address=None)
        renewed = services.rotate_key(actor=developer, key=key)
        curves = series.by_secret(actor=developer, key=renewed, now=NOW)
        assert [secret.label for secret, _slots in curves] == [renewed.label]

    def test_somebody_elses_key_has_no_curves(self, developer, manage_key, used):
        used(manage_key, DAY, 8)
        assert series.by_secret(actor=developer, key=manage_key, now=NOW) == []


class TestSpending:
    """How a limit is used up."""

    @pytest.fixture
    def limited(self, now, developer, key):
        def limited(limit, reset=None, **fields):
            return services.update_key(
                actor=developer, key=key, limit=Decimal(limit), limit_reset=reset, **fields
            )

        return limited

    @pytest.fixture
    def spend(self, now, key):
        def spend(ago, cost, byok_cost="0"):
            now.move_to(NOW - ago, tick=False)
            services.verify_key(
                secret=key.secret,
                address=None,
                cost=Decimal(cost),
                byok_cost=Decimal(byok_cost),
            )
            now.move_to(NOW, tick=False)

        return spend

    def told(self, owner, key):
        key = APIKey.objects.get(pk=key.pk)
        return series.spending(actor=owner, key=key, now=NOW)

    def test_a_month_is_told_by_the_day(self, owner, key, limited, spend):
        limited(100, "monthly")
        spend(18 * DAY, "10")
        spend(2 * DAY, "5")
        spend(2 * DAY, "1")
        spend(HOUR, "4")
        told = self.told(owner, key)
        assert (told.limit, told.spent, told.remaining) == (100, 20, 80)
        assert told.started_at == datetime(2026, 11, 1, tzinfo=UTC)
        assert told.ends_at == datetime(2026, 12, 1, tzinfo=UTC)
        assert len(told.points) == 20
        assert [told.points[day] for day in (0, 1, 16, 17, 18)] == [
            (datetime(2026, 11, 1, tzinfo=UTC), 0),
            (datetime(2026, 11, 2, tzinfo=UTC), 10),
            (datetime(2026, 11, 17, tzinfo=UTC), 10),
            (datetime(2026, 11, 18, tzinfo=UTC), 16),
            (datetime(2026, 11, 19, tzinfo=UTC), 16),
        ]
        assert told.points[-1] == (NOW, 20)

    def test_a_day_is_told_by_the_hour(self, owner, key, limited, spend):
        spend(DAY, "7")
        limited(100, "daily")
        spend(3 * HOUR, "10")
        spend(HOUR, "5", "50")
        told = self.told(owner, key)
        assert [spent for _at, spent in told.points] == [0] * 13 + [10, 10, 15, 15]
        assert told.points[13][0] == datetime(2026, 11, 19, 13, tzinfo=UTC)
        assert told.points[-1][0] == NOW

    def test_own_provider_keys_count_where_they_do(self, owner, key, limited, spend):
        limited(100, "daily", include_byok_in_limit=True)
        spend(3 * HOUR, "10", "5")
        assert self.told(owner, key).points[-1] == (NOW, 15)
        assert self.told(owner, key).points[0][1] == 0

    def test_a_limit_that_never_resets_begins_with_what_was_spent_before(
        self, owner, key, limited, spend
    ):
        APIKey.objects.filter(pk=key.pk).update(created_at=NOW - 200 * DAY)
        limited(100)
        spend(100 * DAY, "30")
        spend(2 * DAY, "5")
        told = self.told(owner, key)
        assert told.ends_at is None
        assert told.started_at == datetime(2026, 8, 21, tzinfo=UTC)
        assert (told.points[0][1], told.points[-1][1]) == (30, 35)

    def test_it_says_when_nothing_will_be_left(self, owner, key, limited, spend):
        limited(100, "monthly")
        spend(18 * DAY, "0.5")
        spend(5 * DAY, "60")
        told = self.told(owner, key)
        # Sixty in a little more than the week before now: five more days for what is left.
        assert NOW + 5 * DAY < told.exhausted_at < NOW + 5.1 * DAY

    def test_it_says_nothing_where_the_period_ends_first(self, owner, key, limited, spend):
        limited(100, "monthly")
        spend(5 * DAY, "10")
        assert self.told(owner, key).exhausted_at is None

    def test_it_says_nothing_of_a_key_that_is_not_used_or_spent(self, owner, key, limited, spend):
        limited(1)
        assert self.told(owner, key).exhausted_at is None
        spend(timedelta(0), "1")
        told = self.told(owner, key)
        assert (told.remaining, told.exhausted_at) == (0, None)

    def test_the_tiniest_pace_breaks_no_calendar(self, owner, key, limited, spend):
        APIKey.objects.filter(pk=key.pk).update(created_at=NOW - 9 * DAY)
        limited(10**12)
        spend(2 * HOUR, "0.000001")
        assert self.told(owner, key).exhausted_at is None

    def test_there_is_none_without_a_limit_or_for_somebody_else(self, viewer, owner, key, limited):
        assert self.told(owner, key) is None
        limited(5)
        assert self.told(viewer, key) is None
        assert self.told(policy.OPERATOR, key).limit == 5


class TestAddresses:
    """From where a key is used."""

    def test_the_busiest_come_first(self, now, owner, developer, key, django_assert_num_queries):
        for address, times, scopes in (
            ("192.0.2.1", 3, ()),
            ("2001:db8::1", 2, ["MANAGE"]),
            ("2001:db8::1", 3, ()),
            ("192.0.2.9", 1, ()),
        ):
            for _ in range(times):
                services.verify_key(
                    secret=key.secret, address=parse_address(address), scopes=scopes
                )
        services.verify_key(secret=key.secret, address=None)
        with django_assert_num_queries(1):
            rows = series.top_addresses(actor=developer, key=key, now=NOW, count=2)
        assert [(row.address, row.accepted, row.refused) for row in rows] == [
            ("2001:db8::1", 3, 2),
            ("192.0.2.1", 3, 0),
        ]
        assert rows[0].last_at == NOW

    def test_of_somebody_elses_key_there_are_none(self, now, viewer, key):
        services.verify_key(secret=key.secret, address=parse_address("192.0.2.1"))
        assert series.top_addresses(actor=viewer, key=key, now=NOW) == []


def test_the_busiest_of_very_many_keys_are_those_of_late(owner, key, manage_key, used, monkeypatch):
    used(key, 20 * HOUR, 500)
    used(manage_key, HOUR, 7)
    used(manage_key, timedelta(0), 5)

    def ranked():
        rows = series.top_keys(actor=owner, keys=ALL(), span=Range.DAY, now=NOW)
        return [(row.name, row.total) for row in rows]

    assert ranked() == [(key.name, 500), (manage_key.name, 12)]
    monkeypatch.setattr(search, "FEW_KEYS", 0)
    assert ranked() == [(key.name, 500), (manage_key.name, 12)]
    monkeypatch.setattr(series, "_MOST_RANKED", 1)
    assert ranked() == [(manage_key.name, 12)]
