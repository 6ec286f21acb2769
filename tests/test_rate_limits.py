"""Who sets rate limits, how they are recorded, and which are tighter than others."""

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from hypothesis import given
from hypothesis import strategies as st

from keys import services
from keys.models import AuditEvent, RateLimit
from keys.models.rates import Period, is_kept_by

MINUTE = {"amount": 100, "period": "minute"}
DAY = {"amount": 5000, "period": "day"}


def limits_of(owner) -> list[str]:
    owner = type(owner).objects.get(pk=owner.pk)
    return sorted(str(row) for row in owner.rate_limits.all())


def give(actor, key, *entries):
    return services.update_key(actor=actor, key=key, rate_limits=entries)


class TestOfKeys:
    def test_a_key_is_issued_with_them(self, acme, developer):
        key = services.issue_key(
            actor=developer, organization=acme, name="Batch", rate_limits=[DAY, MINUTE]
        )
        assert limits_of(key) == ["100/minute", "5000/day"]
        issued = AuditEvent.objects.get(action="apikey.issued")
        assert issued.changes["rate_limits"] == ["100/minute", "5000/day"]

    def test_what_is_given_replaces_what_was_there_and_is_recorded(self, developer, key):
        give(developer, key, MINUTE, DAY)
        kept = RateLimit.objects.get(period="minute").pk
        give(developer, key, {"amount": 50, "period": "minute"})
        assert limits_of(key) == ["50/minute"]
        assert RateLimit.objects.get().pk == kept
        changed = AuditEvent.objects.filter(action="apikey.updated").latest("pk")
        assert changed.changes == {"rate_limits": [["100/minute", "5000/day"], ["50/minute"]]}

    def test_nobody_sets_them_who_may_not_change_the_key(self, viewer, key):
        with pytest.raises(PermissionDenied):
            give(viewer, key, MINUTE)
        assert limits_of(key) == []

    @pytest.mark.parametrize(
        ("entries", "index"),
        [
            ([MINUTE, DAY, {"amount": 7, "period": "minute"}], 2),
            ([MINUTE, {"amount": 0, "period": "hour"}], 1),
            ([{"amount": 10**12, "period": "hour"}], 0),
            ([{"amount": "%d", "period": "hour"}], 0),
            ([{"amount": 5, "period": "week"}], 0),
            ([{"amount": None, "period": "day"}], 0),
        ],
    )
    def test_what_is_wrong_is_told_with_its_place(self, developer, key, entries, index):
        with pytest.raises(ValidationError) as problems:
            give(developer, key, *entries)
        [problem] = problems.value.error_dict["rate_limits"]
        assert problem.params["index"] == index
        assert problem.messages == [problem.params["problem"]]
        assert limits_of(key) == []


class TestOfOrganizations:
    def test_an_admin_sets_them_and_what_happens_without_their_store(self, admin, acme):
        services.update_organization(
            actor=admin, organization=acme, rate_limits=[DAY], limiter_failure="allow"
        )
        acme.refresh_from_db()
        assert (limits_of(acme), acme.limiter_failure) == (["5000/day"], "allow")
        told = [event.changes for event in AuditEvent.objects.filter(action="organization.updated")]
        assert {"rate_limits": [[], ["5000/day"]]} in told
        assert {"limiter_failure": ["refuse", "allow"]} in told

    def test_it_refuses_by_itself_while_nothing_can_count(self, acme):
        assert acme.limiter_failure == "refuse"

    def test_nobody_else_does(self, developer, acme):
        with pytest.raises(PermissionDenied):
            services.update_organization(actor=developer, organization=acme, rate_limits=[DAY])
        assert not RateLimit.objects.exists()

    def test_nothing_is_changed_when_a_part_is_wrong(self, admin, acme):
        with pytest.raises(ValidationError):
            services.update_organization(
                actor=admin, organization=acme, rate_limits=[DAY], limiter_failure="perhaps"
            )
        assert not RateLimit.objects.exists()


def test_its_own_are_asked_before_its_organizations(admin, acme, developer, key):
    give(developer, key, DAY, MINUTE)
    services.update_organization(actor=admin, organization=acme, rate_limits=[MINUTE])
    bounds = [(rate.owner, rate.period) for rate in services.rates_of(key)]
    assert bounds == [("key", "minute"), ("key", "day"), ("organization", "minute")]


def test_a_key_does_not_change_its_own(developer, key):
    """T3."""
    give(developer, key, MINUTE)
    with pytest.raises(PermissionDenied):
        give(key, key)


_limits = st.tuples(st.integers(1, 200), st.sampled_from([str(each) for each in Period]))


@given(st.lists(_limits, max_size=3), _limits, st.lists(st.integers(0, 200_000), max_size=60))
def test_whoever_keeps_tighter_limits_keeps_the_wider(limits, bound, moments):
    """Uses at random moments that keep all the limits keep whatever they are said to imply."""
    if not is_kept_by(bound, limits):
        return
    kept: list[int] = []
    for moment in sorted(moments):
        if all(_uses(kept, moment, period) < amount for amount, period in limits):
            kept.append(moment)
    amount, period = bound
    assert all(_uses(kept, moment, period) <= amount for moment in kept)


def _uses(moments: list[int], until: int, period: str) -> int:
    return sum(until - Period(period).seconds < each <= until for each in moments)
