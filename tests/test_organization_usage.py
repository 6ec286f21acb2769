"""What the keys of an organization did together: their sum, whoever counted it and however."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from django.db.models import F, Sum

from keys import folding, policy, search, series, services, tallies, usage
from keys.models import (
    APIKey,
    KeyUsage,
    MinuteBucket,
    OrganizationBucket,
    OrganizationMinute,
    UsageBucket,
)
from keys.series import Range
from tests.conftest import join

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 23, 30, 15, tzinfo=UTC)


@pytest.fixture
def journaled(tmp_path):
    usage.keep_journal(tmp_path)
    yield tmp_path
    usage.drop_journal()


def of_keys() -> set[tuple]:
    """Return {(organization, moment, outcome, requests)}, as the keys' own tables say it."""
    found = set()
    for model, moment in ((UsageBucket, "hour"), (MinuteBucket, "minute")):
        rows = model.objects.order_by().values_list("key__organization", moment, "outcome")
        found |= {(moment, *row) for row in rows.annotate(Sum("requests"))}
    return found


def of_organizations() -> set[tuple]:
    found = set()
    for model, moment in ((OrganizationBucket, "hour"), (OrganizationMinute, "minute")):
        rows = model.objects.values_list("organization", moment, "outcome", "requests")
        found |= {(moment, *row) for row in rows}
    return found


def use_at_random(keys, time_machine, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - of uses, not of secrets
    for _ in range(40):
        time_machine.move_to(NOW + timedelta(minutes=random.randrange(90)), tick=False)
        services.verify_key(
            secret=random.choice(keys).secret,
            address=None,
            scopes=random.choice([["READ"], ["MANAGE"]]),
            cost=Decimal(random.randrange(4)),
        )


@pytest.fixture
def some_keys(acme, owner, key, manage_key, strangers_key):
    limited = services.issue_key(
        actor=owner, organization=acme, name="Limited", scopes=["READ"], limit=Decimal(9)
    )
    return [key, manage_key, strangers_key, limited]


@pytest.mark.parametrize("seed", [1, 2])
def test_it_is_the_sum_of_what_was_counted_at_once(some_keys, time_machine, seed):
    use_at_random(some_keys, time_machine, seed)
    assert of_organizations() == of_keys()
    assert len({organization for _moment, organization, *_rest in of_organizations()}) == 2


@pytest.mark.parametrize("seed", [3, 4])
def test_it_is_the_sum_of_what_was_folded(some_keys, journaled, time_machine, seed):
    """Of what is charged, hours of keys are told before the fold, those of all after it."""
    use_at_random(some_keys, time_machine, seed)
    assert UsageBucket.objects.exists()
    assert not of_organizations()
    folding.fold_once(journaled)
    assert of_organizations() == of_keys()


def test_it_is_summed_up_anew_after_hours_were_written_otherwise(some_keys, acme, time_machine):
    use_at_random(some_keys, time_machine, 5)
    UsageBucket.objects.filter(key__organization=acme).update(requests=F("requests") + 3)
    assert of_organizations() != of_keys()
    tallies.recount(acme)
    assert of_organizations() == of_keys()


class TestWhoSeesIt:
    """Whoever sees every key; others see the sum of theirs."""

    def test_only_who_manages_sees_every_key(self, acme, owner, admin, developer, viewer, staff):
        seeing = {
            each.email
            for each in (owner, admin, developer, viewer, staff)
            if policy.sees_every_key(each, acme)
        }
        assert seeing == {owner.email, admin.email, staff.email}

    def test_a_key_sees_every_key_of_its_own_organization_alone(self, acme, other, key, manage_key):
        assert policy.sees_every_key(manage_key, acme)
        assert not policy.sees_every_key(manage_key, other)
        assert not policy.sees_every_key(key, acme)

    @pytest.mark.parametrize("span", list(Range))
    def test_each_sees_the_sum_of_the_keys_that_they_see(
        self, some_keys, acme, other, owner, developer, time_machine, span
    ):
        join(other, owner, "readonly")
        use_at_random(some_keys, time_machine, 6)
        now = NOW + timedelta(minutes=89)
        for person in (owner, developer):
            for organization in (acme, other):
                asked = {"actor": person, "span": span, "now": now}
                together = series.organization_outcomes(organization=organization, **asked)
                each = series.outcomes(keys=organization.api_keys.all(), **asked)
                assert together == each
        assert series.totals(together)["accepted"] == sum(slot.accepted for slot in together)


class TestSpentLimits:
    """Totals know the limit of their key, so that an index finds the spent ones."""

    def spent(self) -> list[str]:
        return sorted(APIKey.objects.spent(NOW).values_list("name", flat=True))

    def test_they_are_found_by_the_limit_of_today(self, owner, key, time_machine):
        time_machine.move_to(NOW, tick=False)
        services.verify_key(secret=key.secret, address=None, cost=Decimal(2))
        assert self.spent() == []
        for limit, is_spent in ((Decimal(2), True), (Decimal(3), False), (None, False)):
            services.update_key(actor=owner, key=key, limit=limit)
            assert KeyUsage.objects.get(key=key).limit == limit
            assert (key.name in self.spent()) is is_spent

    def test_a_limit_of_nothing_is_spent_from_the_start(self, owner, acme):
        services.issue_key(actor=owner, organization=acme, name="None", limit=Decimal(0))
        assert self.spent() == ["None"]

    def test_they_are_found_among_very_many(self, owner, acme, key, time_machine, monkeypatch):
        services.issue_key(actor=owner, organization=acme, name="None", limit=Decimal(0))
        services.update_key(actor=owner, key=key, limit=Decimal(1))
        for few in (2_000, 0):
            monkeypatch.setattr(search, "FEW_KEYS", few)
            signs = [search.by_spent_limit(NOW)]
            found = search.narrow(acme.api_keys.all(), signs, are_many=few == 0)
            assert [each.name for each in found] == ["None"]

    def test_they_are_full_again_when_the_period_is_over(self, owner, key, time_machine):
        time_machine.move_to(NOW, tick=False)
        services.update_key(actor=owner, key=key, limit=Decimal(2), limit_reset="daily")
        services.verify_key(secret=key.secret, address=None, cost=Decimal(2))
        assert self.spent() == [key.name]
        assert not APIKey.objects.spent(NOW + timedelta(hours=1)).exists()
