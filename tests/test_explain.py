"""Try and explain: every check with its input and verdict, the same decision as in earnest."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from keys import policy, rates, services
from keys.forms.explaining import ExplainForm
from keys.models import APIKey, Decision, KeySecret, KeyUsage, Role, UsageBucket
from keys.networks import parse_address
from keys.roles import Permission
from keys.templatetags.explaining import steps
from keys.verification import Code
from tests.key_pages import page_of, sign_in

pytestmark = pytest.mark.django_db

HERE = parse_address("127.0.0.1")
ELSEWHERE = parse_address("203.0.113.50")
NOWHERE = "No key that you can see"


def explain_page(organization) -> str:
    return reverse("keys:explain", args=[organization.slug])


def ask(person, organization, key, **question):
    """Return the page's answer to a question."""
    data = {"key": key, "address": "127.0.0.1", **question}
    response = sign_in(person).post(explain_page(organization), data)
    assert response.status_code == 200
    return response


def explained(person, organization, key, **question):
    response = ask(person, organization, key, **question)
    assert response.context["explanation"], response.context["form"].errors
    return response.context["explanation"]


def text_of(response) -> str:
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+([.,]?)", lambda space: space[1] or " ", text)


# The key


def test_key_is_named_in_every_way_that_people_have(developer, acme, key):
    names = (str(key.pk), key.identifier, key.identifier.upper(), key.hash, key.label, key.secret)
    for name in names:
        assert explained(developer, acme, f" {name} ").secret.key == key
    line = f"Authorization: Bearer {key.secret}"
    assert explained(developer, acme, line).secret.key == key


def test_key_is_found_by_the_name_that_people_read(developer, owner, acme, key, manage_key):
    services.update_key(actor=developer, key=key, name="Nightly import", slug="nightly")
    for name in ("Nightly import", "nightly IMPORT", "nightly"):
        assert explained(developer, acme, name).secret.key == key
    # A number, identifier or label names one key, whatever another one is called.
    services.update_key(actor=owner, key=manage_key, name=str(key.pk))
    assert explained(owner, acme, str(key.pk)).secret.key == key


def test_old_secret_is_judged_as_itself(developer, acme, key):
    old, label = key.secret, key.label
    new = services.rotate_key(actor=developer, key=key)
    for name in (old, label):
        assert explained(developer, acme, name).code is Code.SECRET_RETIRED
    for name in (new.secret, key.identifier, str(key.pk)):
        assert explained(developer, acme, name).code is Code.VALID


def test_key_that_one_may_not_see_is_like_one_that_does_not_exist(
    developer, stranger, acme, other, manage_key, strangers_key
):
    """T10: neither another organization's key nor another person's is told of."""
    missing = text_of(ask(developer, acme, "a" * 24))
    assert NOWHERE in missing
    for key in (manage_key, strangers_key):
        for name in (key.secret, key.identifier, key.label, str(key.pk), key.hash, key.slug):
            response = ask(developer, acme, name)
            assert response.context["explanation"] is None
            assert NOWHERE in text_of(response)
            assert key.name not in text_of(response)
        assert NOWHERE in text_of(ask(developer, acme, key.name))
    # Not even through an organization of one's own.
    assert NOWHERE in text_of(ask(stranger, other, manage_key.identifier))


@pytest.mark.parametrize("name", ["\0", "x" * 600, "9" * 200, "٣", "'; --", "%s", ""])
def test_odd_name_is_named_at_its_field(name, developer, acme, key):
    assert ask(developer, acme, name).context["form"].errors["key"]


# The secret goes nowhere


def test_whole_key_is_neither_shown_nor_stored(developer, acme, key):
    client = sign_in(developer)
    for data in (
        {"key": key.secret, "address": "127.0.0.1"},
        {"key": key.secret, "address": "nonsense"},
        {"key": key.secret[:-1], "address": "127.0.0.1"},
        {"key": f"Bearer {key.secret}", "address": "127.0.0.1", "scopes": "?"},
    ):
        response = client.post(explain_page(acme), data)
        assert key.secret[:20] not in response.content.decode()
        assert "no-store" in response["Cache-Control"]
    assert key.secret[:20] not in str(dict(client.session))


def test_whole_key_in_an_address_is_not_looked_up_but_warned_of(developer, acme, key):
    client = sign_in(developer)
    response = client.get(explain_page(acme), {"key": key.secret, "address": ""}, follow=True)
    assert response.redirect_chain == [(explain_page(acme), 302)]
    assert response.context["explanation"] is None
    assert "Consider rotating that key" in text_of(response)
    assert key.secret[:20] not in response.content.decode()


def test_form_keeps_the_label_so_that_the_same_secret_is_asked_about_again(developer, acme, key):
    services.rotate_key(actor=developer, key=key, overlap=timedelta(hours=1))
    form = ask(developer, acme, key.secret).context["form"]
    assert form["key"].value() == key.label


# The question


def test_explaining_counts_and_charges_nothing(developer, acme, key):
    APIKey.objects.filter(pk=key.pk).update(limit=Decimal(1))
    for _time in range(3):
        assert explained(developer, acme, key.secret).code is Code.VALID
    totals = KeyUsage.objects.get(key=key)
    assert (totals.requests, totals.refused, totals.period_cost) == (0, 0, 0)
    assert not UsageBucket.objects.exists()
    assert not Decision.objects.exists()
    assert KeySecret.objects.get(key=key).last_used_at is None


def _expire(key):
    APIKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() - timedelta(days=1))


def _begin_later(key):
    APIKey.objects.filter(pk=key.pk).update(not_before=timezone.now() + timedelta(days=1))


def _confine(key):
    services.add_allowed_ip(actor=policy.OPERATOR, key=key, network="192.0.2.1")


def _limit(key):
    APIKey.objects.filter(pk=key.pk).update(limit=Decimal("0.5"))


def _lose_owner(key):
    membership = key.organization.memberships.get(user=key.owner)
    services.remove_member(actor=policy.OPERATOR, membership=membership)


def _use_up(key):
    rate_limits = [{"amount": 1, "period": "day"}]
    services.update_key(actor=policy.OPERATOR, key=key, rate_limits=rate_limits)
    rates.take(services.rates_of(APIKey.objects.get(pk=key.pk)), "refuse")


# What is wrong with a key -> the outcome that it leads to.
TROUBLES = {
    Code.VALID: lambda key: None,
    Code.REVOKED: lambda key: services.revoke_key(actor=policy.OPERATOR, key=key),
    Code.ORGANIZATION_SUSPENDED: lambda key: services.suspend_organization(
        actor=policy.OPERATOR, organization=key.organization
    ),
    Code.OWNER_GONE: _lose_owner,
    Code.LOCKED: lambda key: services.lock_key(actor=policy.OPERATOR, key=key, reason="Leaked"),
    Code.DISABLED: lambda key: services.disable_key(actor=policy.OPERATOR, key=key),
    Code.NOT_YET_VALID: _begin_later,
    Code.EXPIRED: _expire,
    Code.SECRET_RETIRED: lambda key: services.rotate_key(actor=policy.OPERATOR, key=key),
    Code.FORBIDDEN_ADDRESS: _confine,
    Code.INSUFFICIENT_SCOPES: lambda key: services.update_key(
        actor=policy.OPERATOR, key=key, scopes=["CREATE"]
    ),
    Code.LIMIT_EXCEEDED: _limit,
    Code.RATE_LIMITED: _use_up,
}


@pytest.mark.parametrize("code", TROUBLES)
def test_explanation_is_what_then_happens(code, owner, acme, key):
    """T31: what is explained is what is enforced, for every outcome there is."""
    TROUBLES[code](key)
    response = ask(owner, acme, key.secret, scopes="READ")
    explanation = response.context["explanation"]
    assert explanation.code is code
    verdict = services.verify_key(secret=key.secret, address=HERE, scopes=["READ"])
    assert verdict.code is code
    deciding = [step for step in steps(explanation) if step.decides]
    assert [step.code for step in deciding] == ([] if code is Code.VALID else [code])
    assert code in text_of(response)
    assert all(step.advice for step in deciding)
    if code is not Code.VALID:
        assert "Refuses: this decides" in text_of(response)


def test_of_a_key_whose_owner_left_it_leads_to_the_hand_over(owner, acme, key):
    _lose_owner(key)
    response = ask(owner, acme, key.secret, scopes="READ")
    assert page_of(key, "hand-over") in response.content.decode()
    assert page_of(key, "enable") not in response.content.decode()
    words = text_of(response)
    assert "Hand the key over to the organization" in words
    assert (
        "It holds nothing while its owner is gone; listed: CREATE, DELETE, READ, UPDATE." in words
    )
    assert "it holds: none" not in words


def test_every_outcome_has_a_trouble_here():
    assert set(TROUBLES) == set(Code) - {Code.NOT_FOUND}


def test_every_check_is_told_and_the_limit_last(developer, acme, key):
    services.update_key(actor=developer, key=key, disabled=True, limit=Decimal(0))
    _confine(key)
    page = text_of(ask(developer, acme, key.secret, scopes="orders:read"))
    told = steps(explained(developer, acme, key.secret, scopes="orders:read"))
    assert len(told) == len(Code) - 2
    assert told[-1].code is Code.LIMIT_EXCEEDED
    refusing = [step.code for step in told if not step.passes]
    assert refusing == [
        Code.DISABLED,
        Code.FORBIDDEN_ADDRESS,
        Code.INSUFFICIENT_SCOPES,
        Code.LIMIT_EXCEEDED,
    ]
    assert page.count("Would refuse too") == 3
    assert "127.0.0.1 is not among the allowed: 192.0.2.1." in page
    assert "Missing: orders:read." in page
    assert "0 of 0 credits are left; this costs 1." in page


def test_denied_address_is_told_with_the_row_that_holds_it(developer, acme):
    key = services.issue_key(
        actor=developer,
        organization=acme,
        name="Office",
        allowed_ips=["192.0.2.0/24", {"network": "192.0.2.8/30", "deny": True}],
    )
    answer = text_of(ask(developer, acme, key.label, address="192.0.2.9"))
    assert "192.0.2.9 is in 192.0.2.8/30, which is denied." in answer
    # To allow it as well would change nothing.
    assert "remove what denies it" in answer
    assert "add the address" not in answer
    answer = text_of(ask(developer, acme, key.label, address="203.0.113.9"))
    assert "add the address to its allowed IPs" in answer
    answer = text_of(ask(developer, acme, key.label, address="::ffff:192.0.2.7"))
    assert "192.0.2.7 is in 192.0.2.0/24, which is allowed." in answer
    answer = text_of(ask(developer, acme, key.label, address=""))
    assert "The address is not known, and so is in no list." in answer


def test_scope_that_the_owner_lost_is_told_so(developer, acme, key):
    services.update_member(
        actor=policy.OPERATOR,
        membership=acme.memberships.get(user=developer),
        role=Role.objects.get(organization=None, name="readonly"),
    )
    response = ask(developer, acme, key.secret, scopes="DELETE")
    assert "The key was given DELETE, but its owner does not hold it today" in text_of(response)


def test_moment_is_a_moment_to_come_or_gone(developer, acme):
    with time_machine.travel(datetime(2026, 3, 4, 12, tzinfo=UTC), tick=False):
        key = services.issue_key(
            actor=developer,
            organization=acme,
            name="Short",
            not_before=datetime(2026, 3, 5, tzinfo=UTC),
            expires_at=datetime(2026, 3, 6, tzinfo=UTC),
        )
        for at, code in {
            "": Code.NOT_YET_VALID,
            "2026-03-05T00:00": Code.VALID,
            "2026-03-05 23:59": Code.VALID,
            "2026-03-06": Code.EXPIRED,
        }.items():
            assert explained(developer, acme, key.label, at=at).code is code


def test_limit_is_full_again_in_a_period_to_come(developer, acme):
    with time_machine.travel(datetime(2026, 3, 4, 12, tzinfo=UTC), tick=False):
        key = services.issue_key(
            actor=developer, organization=acme, name="Daily", limit=Decimal(1), limit_reset="daily"
        )
        services.verify_key(secret=key.secret, address=HERE)
        assert explained(developer, acme, key.label).code is Code.LIMIT_EXCEEDED
        assert explained(developer, acme, key.label, cost="0").code is Code.VALID
        assert explained(developer, acme, key.label, at="2026-03-05T01:00").code is Code.VALID
        # What was left then is not known; what is left now is.
        assert explained(developer, acme, key.label, at="2026-03-03").code is Code.LIMIT_EXCEEDED


@pytest.mark.parametrize("reset", ["daily", "weekly", "monthly"])
def test_limit_of_the_last_period_of_the_calendar_is_explained(reset, developer, acme):
    key = services.issue_key(
        actor=developer, organization=acme, name="Lasting", limit=Decimal(5), limit_reset=reset
    )

    explanation = explained(developer, acme, str(key.pk), at="9999-12-31T23:59")

    assert explanation.limit.resets_at is None


@pytest.mark.parametrize("cost", ["0", "0.5", "1", "1.000001", "2"])
@pytest.mark.parametrize("limit", ["0", "1", "2"])
def test_limit_is_explained_as_it_is_charged(limit, cost, developer, acme):
    key = services.issue_key(
        actor=developer, organization=acme, name="Limited", limit=Decimal(limit)
    )
    services.verify_key(secret=key.secret, address=HERE, cost=Decimal("0.5"))
    told = explained(developer, acme, key.label, cost=cost).code
    verdict = services.verify_key(secret=key.secret, address=HERE, cost=Decimal(cost))
    assert told is verdict.code


@pytest.mark.parametrize("method", ExplainForm.METHODS)
@pytest.mark.parametrize("scopes", [["READ"], ["READ", "DELETE"], ["UPDATE"], ["READ", "MANAGE"]])
def test_call_to_the_portal_needs_what_the_policy_asks(method, scopes, owner, acme):
    """The answer is the policy's own: what it allows the key, the explanation passes."""
    key = services.issue_key(
        actor=owner, organization=acme, name="Caller", owner=None, scopes=scopes, limit=Decimal(0)
    )
    explanation = explained(owner, acme, key.label, method=method)
    permission, _label = ExplainForm.METHODS[method]
    is_allowed = policy.allows(APIKey.objects.get(pk=key.pk), Permission(permission), acme)
    assert explanation.is_accepted is is_allowed
    assert explanation.limit.cost == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", "10.1"),
        ("address", "192.0.2.0/24"),
        ("address", "\0"),
        ("scopes", "orders:"),
        ("scopes", "read"),
        ("scopes", "READ " * 200),
        ("scopes", "\0"),
        ("method", "BREW"),
        ("cost", "-1"),
        ("cost", "NaN"),
        ("cost", "1e99"),
        ("at", "yesterday"),
        ("at", "0001-01-01T00:00"),
        ("at", "9999-12-31T23:59"),
    ],
)
def test_odd_question_is_named_at_its_field_or_answered(field, value, developer, acme, key):
    response = ask(developer, acme, key.secret, **{field: value})
    is_odd = field in response.context["form"].errors
    assert is_odd or (field == "at" and response.context["explanation"])


# Where it is asked


def test_link_asks_at_once_and_one_without_an_address_fills_the_form(developer, acme, key):
    client = sign_in(developer)
    response = client.get(explain_page(acme), {"key": key.identifier})
    assert response.context["explanation"] is None
    assert response.context["form"]["key"].value() == key.identifier
    assert not response.context["form"].errors
    response = client.get(explain_page(acme), {"key": key.identifier, "address": "192.0.2.1"})
    assert response.context["explanation"].code is Code.VALID
    assert not UsageBucket.objects.exists()


def test_fix_is_offered_to_those_who_may(developer, staff, acme, key):
    services.disable_key(actor=developer, key=key)
    enable = reverse("keys:enable", args=["acme", key.identifier])
    assert enable in ask(developer, acme, key.secret).content.decode()
    assert enable not in ask(staff, acme, key.secret).content.decode()


def test_no_change_is_offered_to_those_whom_a_staff_lock_stops(developer, staff, acme, key):
    services.disable_key(actor=developer, key=key)
    services.lock_key(actor=staff, key=key)
    page = ask(developer, acme, key.secret, address="203.0.113.9").content.decode()
    assert reverse("keys:enable", args=["acme", key.identifier]) not in page


def test_viewer_explains_nothing_but_their_own(viewer, acme, key):
    assert NOWHERE in text_of(ask(viewer, acme, key.secret))


def test_explaining_keeps_to_its_query_budget(owner, acme, key, django_assert_max_num_queries):
    client = sign_in(owner)
    for name in (key.secret, key.identifier):
        data = {"key": name, "address": "127.0.0.1", "scopes": "READ"}
        client.post(explain_page(acme), data)
        with django_assert_max_num_queries(12):
            assert client.post(explain_page(acme), data).context["explanation"]


class TestRateLimits:
    def test_what_is_left_is_told_and_looking_eats_none_of_it(self, developer, acme, key):
        services.update_key(actor=developer, key=key, rate_limits=[{"amount": 2, "period": "hour"}])
        for _ in range(3):
            page = text_of(ask(developer, acme, key.label))
            assert "Of 2 requests an hour, 2 are left." in page

    def test_an_organizations_are_not_held_against_calls_to_the_portal(self, admin, acme, key):
        services.update_organization(
            actor=admin, organization=acme, rate_limits=[{"amount": 1, "period": "day"}]
        )
        services.verify_key(secret=key.secret, address=HERE)
        assert explained(admin, acme, key.label).code is Code.RATE_LIMITED
        assert explained(admin, acme, key.label, method="GET").code is Code.VALID
        assert services.authenticate_key(secret=key.secret, address=HERE).is_valid

    def test_of_another_moment_nothing_is_known(self, developer, acme, key):
        _use_up(key)
        later = explained(developer, acme, key.label, at="2090-03-05T01:00")
        assert later.code is Code.VALID
        page = text_of(ask(developer, acme, key.label, at="2090-03-05T01:00"))
        assert "for this moment only" in page

    @pytest.mark.parametrize(
        ("failure", "code"), [("refuse", Code.RATE_LIMITED), ("allow", Code.VALID)]
    )
    def test_t45_a_store_that_is_away_is_explained_as_it_is_enforced(
        self, admin, acme, key, settings, failure, code
    ):
        """T45."""
        _use_up(key)
        services.update_organization(actor=admin, organization=acme, limiter_failure=failure)
        settings.RATE_LIMIT_STORAGE = "redis://127.0.0.1:1/0"
        assert explained(admin, acme, key.label).code is code
        assert services.verify_key(secret=key.secret, address=HERE).code is code
