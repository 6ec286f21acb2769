"""Limits: charged exactly, by UTC calendars, and never overspent by many at once."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from threading import Barrier

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection, connections
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keys import services
from keys.models import APIKey, KeyUsage, UsageBucket
from keys.models.usage import LimitReset
from keys.verification import Code

# Uses a key ten times, in a fresh process, on a database that is there already.
SPEND_IN_A_PROCESS = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
from django.conf import settings
settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
from keys import services
for _ in range(10):
    print(services.verify_key(secret=sys.argv[2], address=None).code)
"""


def spend(key, cost=Decimal(1), **question) -> Code:
    return services.verify_key(secret=key.secret, address=None, cost=cost, **question).code


@pytest.fixture
def limited(developer, key):
    """Give the key a limit."""

    def limit(amount, reset=None, **more) -> APIKey:
        services.update_key(
            actor=developer, key=key, limit=Decimal(amount), limit_reset=reset, **more
        )
        return key

    return limit


class TestExactly:
    """To the millionth, on every database."""

    def test_a_limit_can_be_spent_to_its_end(self, limited):
        key = limited("0.3")
        assert [spend(key, Decimal("0.1")) for _ in range(4)] == [
            *[Code.VALID] * 3,
            Code.LIMIT_EXCEEDED,
        ]
        assert APIKey.objects.get(pk=key.pk).remaining_at(timezone.now()) == 0

    def test_a_millionth_too_much_is_too_much(self, limited):
        key = limited("1")
        assert spend(key, Decimal("1.000001")) is Code.LIMIT_EXCEEDED
        assert spend(key, Decimal("0.999999")) is Code.VALID
        assert spend(key, Decimal("0.000002")) is Code.LIMIT_EXCEEDED
        assert spend(key, Decimal("0.000001")) is Code.VALID

    def test_a_use_that_costs_nothing_is_free(self, limited):
        key = limited("0")
        assert spend(key, Decimal(0)) is Code.VALID
        assert spend(key, Decimal("0.000001")) is Code.LIMIT_EXCEEDED

    def test_without_a_limit_everything_is_counted(self, key):
        for _ in range(3):
            assert spend(key, Decimal(10**6)) is Code.VALID
        assert KeyUsage.objects.get(key=key).cost == 3 * 10**6

    def test_own_provider_keys_count_when_they_are_to(self, developer, limited):
        key = limited("1")
        assert spend(key, Decimal(0), byok_cost=Decimal(5)) is Code.VALID
        services.update_key(actor=developer, key=key, include_byok_in_limit=True)
        # What was spent before counts from now on.
        assert spend(key, Decimal(0), byok_cost=Decimal("0.000001")) is Code.LIMIT_EXCEEDED
        services.update_key(actor=developer, key=key, include_byok_in_limit=False)
        assert spend(key, Decimal(1)) is Code.VALID

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
    @given(
        st.lists(st.decimals(min_value=0, max_value=2, places=6), min_size=1, max_size=8),
        st.decimals(min_value=0, max_value=4, places=6),
    )
    def test_what_is_valid_is_what_fits(self, acme, owner, costs, limit):
        """For any costs and any limit, as an account book would have it."""
        key = services.issue_key(actor=owner, organization=acme, name="Key", limit=limit)
        spent = Decimal(0)
        for cost in costs:
            fits = cost == 0 or spent + cost <= limit
            assert spend(key, cost) is (Code.VALID if fits else Code.LIMIT_EXCEEDED)
            spent += cost if fits else 0
        totals = KeyUsage.objects.get(key=key)
        assert totals.cost == totals.period_cost == spent
        assert totals.requests + totals.refused == len(costs)
        assert APIKey.objects.get(pk=key.pk).remaining_at(timezone.now()) == limit - spent

    def test_totals_and_hours_tell_the_same(self, limited):
        key = limited("5")
        for cost in ("1", "2.5", "3", "0.25", "9"):
            spend(key, Decimal(cost), byok_cost=Decimal("0.5"))
        totals = KeyUsage.objects.get(key=key)
        valid = UsageBucket.objects.get(key=key, outcome="VALID")
        exceeded = UsageBucket.objects.get(key=key, outcome="LIMIT_EXCEEDED")
        assert (totals.requests, totals.cost, totals.byok_cost) == (3, Decimal("3.75"), 1.5)
        assert (valid.requests, valid.cost, valid.byok_cost) == (3, Decimal("3.75"), 1.5)
        assert totals.refused == exceeded.requests == 2
        assert exceeded.cost == exceeded.byok_cost == 0


class TestCalendars:
    """A spent limit is full again at 00:00 UTC of the day, Monday or first of the month."""

    @pytest.mark.parametrize(
        ("reset", "last", "next_one"),
        [
            ("daily", "2028-02-28T23:59:59.999", "2028-02-29T00:00:00"),
            ("daily", "2028-02-29T23:59:59.999", "2028-03-01T00:00:00"),
            ("weekly", "2026-03-08T23:59:59.999", "2026-03-09T00:00:00"),
            ("weekly", "2026-12-27T23:59:59.999", "2026-12-28T00:00:00"),
            ("monthly", "2026-02-28T23:59:59.999", "2026-03-01T00:00:00"),
            ("monthly", "2026-12-31T23:59:59.999", "2027-01-01T00:00:00"),
        ],
    )
    def test_it_resets_on_the_instant(self, limited, time_machine, reset, last, next_one):
        """T35."""
        last, next_one = (datetime.fromisoformat(text + "+00:00") for text in (last, next_one))
        time_machine.move_to(last, tick=False)
        key = limited("1", reset)
        assert spend(key) is Code.VALID
        assert spend(key) is Code.LIMIT_EXCEEDED
        time_machine.move_to(next_one, tick=False)
        assert APIKey.objects.get(pk=key.pk).remaining_at(next_one) == 1
        assert spend(key) is Code.VALID
        assert spend(key) is Code.LIMIT_EXCEEDED

    def test_a_new_year_does_not_begin_a_week(self, limited, time_machine):
        time_machine.move_to(datetime(2026, 12, 31, 23, tzinfo=UTC), tick=False)
        key = limited("1", "weekly")
        assert spend(key) is Code.VALID
        time_machine.move_to(datetime(2027, 1, 3, 23, tzinfo=UTC), tick=False)
        assert spend(key) is Code.LIMIT_EXCEEDED
        time_machine.move_to(datetime(2027, 1, 4, tzinfo=UTC), tick=False)
        assert spend(key) is Code.VALID

    def test_without_a_reset_what_is_spent_stays_spent(self, limited, time_machine):
        time_machine.move_to(datetime(2026, 3, 4, tzinfo=UTC), tick=False)
        key = limited("1")
        assert spend(key) is Code.VALID
        time_machine.move_to(datetime(2036, 3, 4, tzinfo=UTC), tick=False)
        assert spend(key) is Code.LIMIT_EXCEEDED

    @pytest.mark.parametrize(
        ("before", "after", "left"),
        [
            (None, "monthly", 7),
            (None, "daily", 9),
            ("daily", None, 5),
            ("daily", "weekly", 8),
            ("monthly", "daily", 9),
            ("weekly", "monthly", 7),
        ],
    )
    def test_another_period_counts_what_was_spent_in_it(
        self, developer, limited, time_machine, before, after, left
    ):
        """Changing when a limit resets is no way to fill it."""
        time_machine.move_to(datetime(2026, 2, 20, tzinfo=UTC), tick=False)
        key = limited("10", before)
        for moment, cost in [
            (datetime(2026, 2, 20, tzinfo=UTC), 2),  # last month
            (datetime(2026, 3, 1, 23, 59, tzinfo=UTC), 1),  # this month, last week
            (datetime(2026, 3, 3, 12, tzinfo=UTC), 1),  # this week
            (datetime(2026, 3, 4, 0, 0, tzinfo=UTC), 1),  # today
        ]:
            time_machine.move_to(moment, tick=False)
            assert spend(key, Decimal(cost)) is Code.VALID
        now = datetime(2026, 3, 4, 12, tzinfo=UTC)
        time_machine.move_to(now, tick=False)
        services.update_key(actor=developer, key=key, limit_reset=after)
        assert APIKey.objects.get(pk=key.pk).remaining_at(now) == left
        assert spend(key, Decimal(left) + Decimal("0.000001")) is Code.LIMIT_EXCEEDED
        assert spend(key, Decimal(left)) is Code.VALID

    def test_another_limit_keeps_what_was_spent(self, developer, limited):
        key = limited("10", "daily")
        spend(key, Decimal(6))
        services.update_key(actor=developer, key=key, limit=Decimal(5))
        assert APIKey.objects.get(pk=key.pk).remaining_at(timezone.now()) == 0
        assert spend(key, Decimal(1)) is Code.LIMIT_EXCEEDED
        services.update_key(actor=developer, key=key, limit=Decimal(7))
        assert spend(key, Decimal(1)) is Code.VALID

    def test_every_reset_has_a_calendar(self):
        assert all(LimitReset.period_start(reset, timezone.now()) for reset in LimitReset)


def at_once(*tasks) -> list:
    """Run tasks in threads that start together, each with a connection of its own."""
    barrier = Barrier(len(tasks))

    def run(task):
        try:
            barrier.wait()
            return task()
        except (APIKey.DoesNotExist, PermissionDenied, ValidationError) as refusal:
            return refusal
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(run, tasks))


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    """T36: many processes and threads, one database."""

    def test_200_uses_of_100_give_exactly_100(self, limited):
        key = limited("100")

        def use_some():
            return [spend(key) for _ in range(20)]

        answers = [answer for some in at_once(*[use_some] * 10) for answer in some]
        assert answers.count(Code.VALID) == answers.count(Code.LIMIT_EXCEEDED) == 100
        totals = KeyUsage.objects.get(key=key)
        assert (totals.requests, totals.refused, totals.cost) == (100, 100, 100)
        assert APIKey.objects.get(pk=key.pk).remaining_at(timezone.now()) == 0
        counted = {row.outcome: row.requests for row in UsageBucket.objects.filter(key=key)}
        assert counted == {"VALID": 100, "LIMIT_EXCEEDED": 100}

    @pytest.mark.wide
    def test_processes_share_a_limit_too(self, limited):
        key = limited("10")
        database = str(connection.settings_dict["NAME"])
        processes = [
            subprocess.Popen(  # noqa: S603
                [sys.executable, "-c", SPEND_IN_A_PROCESS, database, key.secret],
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        answers = "".join(each.communicate(timeout=60)[0] for each in processes).split()
        assert answers.count("VALID") == answers.count("LIMIT_EXCEEDED") == 10
        assert KeyUsage.objects.get(key=key).cost == 10

    def test_uses_meanwhile_never_undo_a_revocation(self, developer, key):
        def use_some():
            return [spend(key) for _ in range(10)]

        def revoke():
            return services.revoke_key(actor=developer, key=key)

        first, *_, revoked = at_once(use_some, use_some, use_some, revoke)
        assert revoked.revoked_at
        assert APIKey.objects.get(pk=key.pk).revoked_at
        assert spend(key) is Code.REVOKED
        # Once refused, refused for good.
        assert first == sorted(first, key=[Code.VALID, Code.REVOKED].index)

    @pytest.mark.parametrize("attempt", range(3))
    def test_changes_meanwhile_never_undo_a_revocation(self, developer, key, attempt):
        def change():
            return services.update_key(
                actor=developer, key=key, name="Late", disabled=False, limit=Decimal(1)
            )

        def rotate():
            return services.rotate_key(actor=developer, key=key)

        def revoke():
            return services.revoke_key(actor=developer, key=key)

        *others, revoked = at_once(change, rotate, change, revoke)
        assert isinstance(revoked, APIKey)
        assert APIKey.objects.get(pk=key.pk).revoked_at == revoked.revoked_at
        assert spend(key) is Code.REVOKED
        for other in others:
            assert isinstance(other, APIKey | APIKey.DoesNotExist)

    def test_two_rotations_leave_one_usable_secret(self, developer, key):
        renewed = at_once(*[lambda: services.rotate_key(actor=developer, key=key)] * 2)
        answers = sorted(spend(each) for each in renewed)
        assert answers == [Code.SECRET_RETIRED, Code.VALID]
        assert spend(key) is Code.SECRET_RETIRED

    def test_keys_of_one_name_issued_at_once_all_come_to_be(self, owner, acme):
        def issue():
            return services.issue_key(actor=owner, organization=acme, name="Same", scopes=[])

        issued = at_once(*[issue] * 6)
        assert all(isinstance(key, APIKey) for key in issued), issued
        assert len({key.slug for key in issued}) == 6

    def test_one_short_name_is_taken_by_one(self, owner, acme):
        def issue():
            return services.issue_key(actor=owner, organization=acme, name="Key", slug="same")

        issued = at_once(*[issue] * 4)
        assert [isinstance(each, APIKey) for each in issued].count(True) == 1
        refusals = [each for each in issued if not isinstance(each, APIKey)]
        assert all(set(refusal.message_dict) == {"slug"} for refusal in refusals)

    def test_changing_the_period_meanwhile_loses_no_cost(self, developer, limited):
        key = limited("1000")

        def use_some():
            return [spend(key) for _ in range(10)]

        def change():
            for reset in ("daily", None, "monthly", "daily"):
                services.update_key(actor=developer, key=key, limit_reset=reset)

        at_once(use_some, use_some, change)
        totals = KeyUsage.objects.get(key=key)
        assert totals.requests == totals.cost == 20

    def test_the_last_two_owners_do_not_both_go(self, acme, owner, admin):
        first = acme.memberships.get(user=owner)
        second = services.update_member(
            actor=owner, membership=acme.memberships.get(user=admin), is_owner=True
        )
        results = at_once(
            lambda: services.remove_member(actor=owner, membership=second),
            lambda: services.remove_member(actor=admin, membership=first),
        )
        assert acme.memberships.filter(is_owner=True).count() == 1, results
