"""Which keys want attention: each check on both sides of its line."""

from datetime import UTC, datetime, timedelta

import pytest

from keys import hygiene, policy, search, services
from keys.hygiene import OfOldest
from keys.models import APIKey, KeySecret, KeyUsage, Membership, Organization, ScopeUse
from keys.templatetags.hygiene import check_count, counted_keys
from tests.conftest import make_many

NOW = datetime(2026, 11, 19, 15, 31, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _now(time_machine):
    time_machine.move_to(NOW, tick=False)


@pytest.fixture
def tidy(acme, developer):
    """A key that fails no check."""
    return services.issue_key(
        actor=developer,
        organization=acme,
        name="Tidy",
        scopes=["READ", "UPDATE"],
        expires_at=NOW + 90 * DAY,
        allowed_ips=["192.0.2.0/24"],
    )


def used(key, days_ago, *scopes):
    moment = NOW - days_ago * DAY
    KeyUsage.objects.filter(key=key).update(last_used_at=moment)
    for code in scopes:
        ScopeUse.objects.create(key=key, code=code, last_used_at=moment)


def aged(key, days):
    APIKey.objects.filter(pk=key.pk).update(created_at=NOW - days * DAY)
    KeySecret.objects.filter(key=key).update(created_at=NOW - days * DAY)


def change(key, **fields):
    APIKey.objects.filter(pk=key.pk).update(**fields)


def failed(key) -> set[str]:
    return {check.name for check in hygiene.findings(_read(key), now=NOW)}


def _read(key) -> APIKey:
    return APIKey.objects.get(pk=key.pk)


@pytest.mark.parametrize("check", hygiene.CHECKS.values(), ids=hygiene.CHECKS.keys())
def test_advice_is_right_for_one_key_and_for_many(check):
    said, it, _rest = str(check.advice).partition(" it ")
    assert not it or "key" in said or "scope" in said or "used" in said
    assert not str(check.advice).startswith("It ")


def test_a_tidy_key_fails_nothing(tidy):
    assert failed(tidy) == set()


@pytest.mark.parametrize("fields", [{"revoked_at": NOW}, {"disabled": True}, {"locked_at": NOW}])
def test_a_key_that_is_stopped_wants_no_attention(key, fields):
    assert "never_expires" in failed(key)
    change(key, **fields)
    assert failed(key) == set()


def test_a_key_that_expired_wants_no_attention(key):
    change(key, expires_at=NOW)
    assert failed(key) == set()


class TestOwners:
    """Somebody answers for the key."""

    def test_a_member_does(self, tidy):
        assert "owner_gone" not in failed(tidy)

    def test_the_organization_does(self, manage_key):
        assert "owner_gone" not in failed(manage_key)

    def test_who_left_does_not(self, tidy, developer):
        Membership.objects.filter(user=developer).delete()
        assert failed(tidy) == {"owner_gone"}

    @pytest.mark.parametrize("fields", [{"disabled": True}, {"locked_at": NOW}])
    def test_nor_for_a_key_that_stopped_with_them(self, acme, tidy, key, developer, fields):
        change(key, **fields)
        Membership.objects.filter(user=developer).delete()
        assert failed(key) == {"owner_gone"}
        keys = acme.api_keys.all()
        found = hygiene.keys_failing("owner_gone", keys, organization=acme, now=NOW)
        assert set(found) == {tidy, key}
        assert hygiene.counts(keys, organization=acme, now=NOW)["owner_gone"] == 2

    @pytest.mark.parametrize("fields", [{"revoked_at": NOW}, {"expires_at": NOW}])
    def test_nobody_answers_for_one_that_is_over(self, tidy, developer, fields):
        Membership.objects.filter(user=developer).delete()
        change(tidy, **fields)
        assert failed(tidy) == set()

    def test_who_may_not_sign_in_does_not(self, tidy, developer):
        developer.is_active = False
        developer.save()
        assert failed(tidy) == {"owner_gone"}

    def test_a_member_of_another_organization_does_not(self, tidy, developer, other):
        Membership.objects.filter(user=developer).update(organization=other)
        assert failed(tidy) == {"owner_gone"}


@pytest.mark.parametrize(
    ("expires_at", "found"),
    [
        (NOW + timedelta(seconds=1), {"expiring"}),
        (NOW + 14 * DAY, {"expiring"}),
        (NOW + 14 * DAY + timedelta(seconds=1), set()),
        (None, {"never_expires"}),
        (datetime(9999, 1, 1, tzinfo=UTC), set()),
    ],
)
def test_an_end_is_neither_near_nor_missing(tidy, expires_at, found):
    change(tidy, expires_at=expires_at)
    assert failed(tidy) == found


class TestAddresses:
    """A key works from somewhere, not from anywhere."""

    def test_a_list_confines_it(self, tidy):
        assert "no_ip_list" not in failed(tidy)

    def test_the_pool_of_servers_confines_it_even_empty(self, tidy):
        tidy.allowed_ips.all().delete()
        assert failed(tidy) == {"no_ip_list"}
        change(tidy, assign_server_ips=True)
        assert failed(tidy) == set()

    @pytest.mark.parametrize("fields", [{"active": False}, {"deny": True}])
    def test_rows_that_allow_nothing_do_not(self, tidy, fields):
        tidy.allowed_ips.update(**fields)
        assert failed(tidy) == {"no_ip_list"}


class TestIdleness:
    """A key is used, or new."""

    @pytest.mark.parametrize(("days", "is_idle"), [(89, False), (91, True)])
    def test_it_was_used_lately(self, tidy, days, is_idle):
        aged(tidy, 200)
        used(tidy, days)
        assert ("idle" in failed(tidy)) is is_idle

    @pytest.mark.parametrize(("days", "is_idle"), [(89, False), (91, True)])
    def test_it_was_never_used(self, tidy, days, is_idle):
        aged(tidy, days)
        assert ("idle" in failed(tidy)) is is_idle


class TestScopes:
    """A key holds what it uses."""

    def test_all_of_them_are_used(self, tidy):
        aged(tidy, 31)
        used(tidy, 1, "READ", "UPDATE")
        assert failed(tidy) == set()

    def test_one_of_them_is_not(self, tidy):
        aged(tidy, 31)
        used(tidy, 1, "READ")
        assert failed(tidy) == {"over_scoped"}

    def test_one_of_them_was_long_ago(self, tidy):
        aged(tidy, 200)
        used(tidy, 91, "UPDATE")
        used(tidy, 1, "READ")
        assert failed(tidy) == {"over_scoped"}

    def test_those_of_its_role_count(self, tidy, acme, owner):
        role = services.create_role(
            actor=owner,
            organization=acme,
            name="clerk",
            scopes=policy.grantable_scopes(owner, acme).filter(code__in=["READ", "UPDATE"]),
        )
        services.update_key(actor=owner, key=tidy, role=role)
        aged(tidy, 31)
        used(tidy, 1, "READ")
        assert failed(tidy) == {"over_scoped"}
        used(tidy, 1, "UPDATE")
        assert failed(tidy) == set()

    def test_what_another_key_used_does_not(self, tidy, key):
        aged(tidy, 31)
        used(tidy, 1, "READ")
        used(key, 1, "UPDATE")
        assert failed(tidy) == {"over_scoped"}

    def test_a_young_key_may_need_them_yet(self, tidy):
        aged(tidy, 29)
        used(tidy, 1, "READ")
        assert failed(tidy) == set()

    def test_nothing_is_said_where_nobody_asks_for_scopes(self, tidy):
        aged(tidy, 31)
        used(tidy, 1)
        assert failed(tidy) == set()


class TestAge:
    """A secret gets no older than the organization wants."""

    @pytest.mark.parametrize(("days", "is_old"), [(365, False), (366, True)])
    def test_a_year_is_where_it_ends(self, tidy, days, is_old):
        used(tidy, 1)
        aged(tidy, days)
        assert failed(tidy) == ({"older_than_policy"} if is_old else set())

    def test_the_organization_says_so(self, tidy, acme, owner):
        used(tidy, 1)
        aged(tidy, 400)
        services.update_organization(actor=owner, organization=acme, rotation_days=None)
        assert failed(tidy) == set()
        services.update_organization(actor=owner, organization=acme, rotation_days=500)
        assert failed(tidy) == set()
        services.update_organization(actor=owner, organization=acme, rotation_days=30)
        assert failed(tidy) == {"older_than_policy"}

    def test_a_rotation_makes_it_young_again(self, tidy, developer):
        used(tidy, 1)
        aged(tidy, 400)
        services.rotate_key(actor=developer, key=tidy, overlap=DAY)
        assert failed(tidy) == set()


def test_counts_lists_and_findings_agree(
    acme, owner, tidy, key, read_only_key, manage_key, strangers_key
):
    aged(key, 400)
    used(key, 1, "READ")
    keys = policy.visible(owner, acme.api_keys.all())
    counts = hygiene.counts(keys, organization=acme, now=NOW)
    for name, count in counts.items():
        found = hygiene.keys_failing(name, keys, organization=acme, now=NOW)
        assert len(found) == count, name
        assert {each.pk for each in found} == {each.pk for each in keys if name in failed(each)}, (
            name
        )
    assert counts == {
        "found": 0,
        "owner_gone": 0,
        "expiring": 0,
        "breaks_policy": 0,
        "older_than_policy": 1,
        "over_scoped": 1,
        "idle": 0,
        "never_expires": 3,
        "no_ip_list": 3,
    }


def test_all_counts_take_two_queries(acme, key, tidy, django_assert_num_queries):
    # As pages load it.
    acme = Organization.objects.select_related("policy").get(pk=acme.pk)
    with django_assert_num_queries(2):
        hygiene.counts(APIKey.objects.all(), organization=acme, now=NOW)


def test_no_key_is_counted_twice(acme, owner, manage_key):
    aged(manage_key, 31)
    used(manage_key, 1, "READ")
    assert hygiene.counts(acme.api_keys.all(), organization=acme, now=NOW)["over_scoped"] == 1


def test_every_check_says_what_and_what_to_do():
    assert set(hygiene.CHECKS) == {
        "never_expires",
        "no_ip_list",
        "idle",
        "over_scoped",
        "owner_gone",
        "breaks_policy",
        "found",
        "older_than_policy",
        "expiring",
    }
    for name, check in hygiene.CHECKS.items():
        assert check.name == name
        assert str(check.label)
        assert str(check.advice).endswith(".")


def test_counts_of_very_many_keys_stop(acme, owner, monkeypatch):
    make_many(acme, owner, 4)
    monkeypatch.setattr(hygiene, "MOST_COUNTED", 2)
    keys = acme.api_keys.all()
    assert hygiene.counts(keys, organization=acme, now=NOW)["never_expires"] == 3
    assert hygiene.count_some(keys) == 3
    assert sum(hygiene.ages(keys, now=NOW)) == sum(hygiene.ends(keys, now=NOW)) == 2


def test_what_no_index_tells_is_looked_for_among_the_oldest(
    acme, owner, monkeypatch, django_assert_num_queries
):
    make_many(acme, owner, 4)
    monkeypatch.setattr(hygiene, "MOST_LOOKED_AT", 2)
    indexed = [name for name, check in hygiene.CHECKS.items() if not check.is_looked_for]
    with django_assert_num_queries(3 + len(indexed)):  # one of them for the policy
        counts = hygiene.counts(acme.api_keys.all(), organization=acme, now=NOW)
    assert counts["never_expires"] == 4
    assert (counts["idle"], counts["no_ip_list"]) == (0, 1)
    assert {name for name, count in counts.items() if isinstance(count, OfOldest)} == {
        name for name, check in hygiene.CHECKS.items() if check.is_looked_for
    }
    assert check_count("no_ip_list", counts["no_ip_list"]) == (
        "1 key works from any address, of the 2,000 oldest"
    )
    assert check_count("over_scoped", counts["over_scoped"]) == (
        "No key holds scopes that it does not use, of the 2,000 oldest"
    )


def test_lists_of_very_many_keys_hold_the_same(acme, owner, developer, key, monkeypatch):
    Membership.objects.filter(user=developer).delete()
    make_many(acme, owner, 3)
    for few in (2_000, 0):
        monkeypatch.setattr(search, "FEW_KEYS", few)
        failing = hygiene.keys_failing(
            "owner_gone", acme.api_keys.all(), organization=acme, now=NOW
        )
        assert list(failing) == [key]


def test_a_count_that_stopped_is_told_as_such():
    assert check_count("never_expires", 10_000) == "10000 keys never expire"
    assert check_count("never_expires", 10_001) == "10,000+ keys never expire"
    assert (counted_keys(9_999), counted_keys(12_345)) == ("9,999", "10,000+")
