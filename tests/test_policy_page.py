"""The page of an organization's policy: what it says, asks and saves."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from keys import rules, services
from keys.models import OrganizationPolicy, Role
from keys.rules import RoleTerms
from tests.key_pages import HTMX, fill, listing, page_of, sign_in, text_of, words_of

pytestmark = pytest.mark.django_db


def url(organization) -> str:
    return reverse("keys:policy", args=[organization.slug])


def typed(**changes) -> dict:
    """Return the form as a browser sends it when nothing is ticked, with these changes."""
    return {"leak_action": "notify", **changes}


def role(name) -> Role:
    return Role.objects.get(organization=None, name=name)


def test_a_policy_that_every_key_fits_is_saved_at_once(owner, acme, key):
    response = sign_in(owner).post(url(acme), typed(leak_action="disable", name_pattern="B*"))
    assert response.status_code == 302
    saved = rules.rules_of(acme)
    assert (saved.leak_action, saved.name_pattern) == ("disable", "B*")


def test_keys_that_do_not_fit_are_named_before_it_holds(owner, acme, key, read_only_key):
    client = sign_in(owner)
    asked = client.post(url(acme), typed(person_key_days="90", name_pattern="Back*"))
    words = words_of(asked)
    assert "2 keys: those that live too long" in words
    assert "1 key: those that are not named as they should be" in words
    assert page_of(key) in text_of(asked)
    assert not OrganizationPolicy.objects.exists()
    mark = asked.context["form"].plan.mark
    # Whoever agreed to this did not agree to more.
    other = client.post(url(acme), typed(person_key_days="9", agreed=mark))
    assert other.status_code == 200
    agreed = typed(person_key_days="90", name_pattern="Back*", agreed=mark)
    assert client.post(url(acme), agreed).status_code == 302
    assert rules.rules_of(acme).person_key_days == 90


def test_what_no_key_feels_is_saved_without_asking_about_keys_again(owner, acme, key):
    services.update_policy(actor=owner, organization=acme, name_pattern="prod-*")
    client = sign_in(owner)
    response = client.post(url(acme), typed(name_pattern="prod-*", leak_action="disable"))
    assert response.status_code == 302
    assert rules.rules_of(acme).leak_action == "disable"
    assert client.post(url(acme), typed(name_pattern="live-*")).status_code == 200


def test_looking_saves_nothing(owner, acme, key):
    client = sign_in(owner)
    page = client.post(url(acme), typed(shared_key_days="90", preview="1"))
    assert "Every key that you can see fits" in words_of(page)
    assert not OrganizationPolicy.objects.exists()


def test_idle_keys_are_named_that_would_be_disabled(owner, acme, key):
    moment = timezone.now() - timedelta(days=40)
    type(key).objects.filter(pk=key.pk).update(updated_at=moment)
    page = sign_in(owner).post(url(acme), typed(idle_days="30"))
    assert "1 key lies idle and will be disabled" in words_of(page)


def test_what_roles_may_do_is_saved_and_shown(owner, acme):
    pk = role("developer").pk
    client = sign_in(owner)
    sent = {f"scopes_{pk}": ["READ"], f"approval_scopes_{pk}": ["READ"], f"approval_days_{pk}": "7"}
    client.post(url(acme), typed(**sent))
    [terms] = rules.rules_of(acme).roles
    assert terms == RoleTerms(role("developer"), frozenset({"READ"}), frozenset({"READ"}), 7)
    form = client.get(url(acme)).context["form"]
    assert form[f"scopes_{pk}"].value() == ["READ"]


def test_a_rule_on_a_scope_that_the_role_lacks_is_said_to_do_nothing(owner, acme):
    pk = role("developer").pk
    client = sign_in(owner)
    client.post(url(acme), typed(**{f"approval_scopes_{pk}": ["DELETE"]}))
    assert "does not have" not in words_of(client.get(url(acme)))
    client.post(url(acme), typed(**{f"approval_scopes_{pk}": ["DELETE", "MANAGE"]}))
    assert "The role developer does not have MANAGE: its rules" in words_of(client.get(url(acme)))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("person_key_days", "0", "greater than or equal to 1"),
        ("shared_key_days", "often", "whole number"),
        ("idle_days", "9" * 30, "less than or equal"),
        ("confined_scopes", "NOTHING", "not one of the available"),
        ("name_pattern", "****", "at most 3 asterisks"),
        ("name_pattern", "a\0b", "Null characters"),
        ("leak_action", "shout", "not one of the available"),
        ("two_person_rule", "on", "only one"),
    ],
)
def test_a_mistake_is_named_at_its_field(owner, acme, field, value, message):
    page = sign_in(owner).post(url(acme), typed(**{field: value}))
    assert message in " ".join(page.context["form"].errors[field])
    assert not OrganizationPolicy.objects.exists()


def test_who_may_not_change_it_reads_it(owner, acme, viewer):
    services.update_policy(actor=owner, organization=acme, person_key_days=90)
    page = sign_in(viewer).get(url(acme))
    assert "Keys of people live at most 90 days." in words_of(page)
    assert "Save policy" not in words_of(page)


class TestFormsOfKeys:
    """They say the rules beforehand."""

    @pytest.fixture
    def client(self, owner, acme, developer):
        services.update_policy(
            actor=owner,
            organization=acme,
            person_key_days=30,
            name_pattern="prod-*",
            confined_scopes=["DELETE"],
            roles=[RoleTerms(role("developer"), frozenset({"READ", "DELETE"}))],
        )
        return sign_in(developer)

    def test_a_new_key_is_offered_what_fits(self, client, acme):
        page = client.get(listing(acme, "create"))
        words = words_of(page)
        assert "It looks like prod-*, such as prod-billing." in words
        assert "Needed by keys with DELETE" in words
        assert "In your role, keys get only DELETE, READ." in words
        assert "Keys of people live at most 30 days." in words

    def test_a_scope_that_one_cannot_give_is_not_talked_of(self, client, owner, acme):
        services.update_policy(actor=owner, organization=acme, confined_scopes=["DELETE", "MANAGE"])
        assert "Needed by keys with DELETE, unless" in words_of(client.get(listing(acme, "create")))
        own = words_of(sign_in(owner).get(listing(acme, "create")))
        assert "Needed by keys with DELETE, MANAGE, unless" in own

    @pytest.fixture
    def as_owner(self, owner, acme):
        """Whose own keys may live longer than those of the organization, which they give too."""
        services.update_policy(
            actor=owner, organization=acme, person_key_days=45, shared_key_days=20
        )
        return sign_in(owner)

    def lives(self, page):
        form = page.context["form"]
        return [value for value, _label in form.fields["expiry"].choices]

    def test_only_the_days_that_the_owner_is_allowed_are_offered(self, as_owner, acme):
        page = as_owner.get(listing(acme, "create"))
        assert self.lives(page) == ["7", "20", "30", "45", "custom"]
        assert page.context["form"]["expiry"].value() == "45"
        assert "READ for 45 days" in words_of(page)
        assert "for 90 days" not in words_of(page)

    def test_another_owner_is_offered_other_days_while_it_is_typed(self, as_owner, acme):
        data = fill(as_owner, acme, owner="organization", expiry="45", preview="1")
        page = as_owner.post(listing(acme, "create"), data, headers=HTMX)
        assert self.lives(page) == ["7", "20", "custom"]
        assert page.context["form"]["expiry"].value() == "20"
        assert 'id="lives" hx-swap-oob="innerHTML"' in text_of(page)
        assert "20 days" in words_of(page)

    def test_what_the_owner_is_not_allowed_is_refused_with_the_rule(self, as_owner, acme):
        data = fill(as_owner, acme, owner="organization", expiry="never")
        page = as_owner.post(listing(acme, "create"), data)
        assert page.context["form"].errors["expiry"] == [
            "The policy lets it end 20 days from now at the latest."
        ]
        assert page.context["form"]["expiry"].value() == "20"
        assert not acme.api_keys.exists()

    def test_what_was_chosen_for_oneself_may_be_sent_for_the_organization(self, owner, acme):
        services.update_policy(actor=owner, organization=acme, person_key_days=1)
        client = sign_in(owner)
        assert "1" in self.lives(client.get(listing(acme, "create")))
        data = fill(client, acme, owner="organization", expiry="1")
        client.post(listing(acme, "create"), data)
        assert acme.api_keys.get().owner is None

    def test_who_may_choose_any_end_for_one_owner_is_offered_it_there_alone(self, owner, acme):
        services.update_policy(actor=owner, organization=acme, person_key_days=30)
        client = sign_in(owner)
        assert "never" not in self.lives(client.get(listing(acme, "create")))
        data = fill(client, acme, owner="organization", expiry="never")
        client.post(listing(acme, "create"), data)
        assert acme.api_keys.get().expires_at is None

    def test_a_rule_that_is_broken_is_named_at_its_field(self, client, acme):
        wrong = {"name": "billing", "scopes": ["READ", "DELETE"]}
        wrong |= {"expiry": "custom", "expires_at": "2099-01-01 00:00"}
        data = fill(client, acme, **wrong)
        errors = client.post(listing(acme, "create"), data).context["form"].errors
        assert "look like prod-*" in errors["name"][0]
        assert "with the scope DELETE" in errors["allowed_ips"][0]
        assert "at most 30 days" in errors["expires_at"][0]

    def test_a_key_page_says_what_does_not_fit(self, owner, acme, key):
        services.update_policy(actor=owner, organization=acme, name_pattern="prod-*")
        words = words_of(sign_in(owner).get(page_of(key)))
        assert "nobody lets it live longer" in words
        assert "Names of keys of Acme look like prod-*" in words


def test_a_key_that_does_not_fit_is_not_enabled_and_it_is_said_why(owner, acme, key):
    services.disable_key(actor=owner, key=key)
    services.update_policy(actor=owner, organization=acme, person_key_days=30)
    page = sign_in(owner).post(page_of(key, "enable"), {}, follow=True)
    assert "at most 30 days" in words_of(page)
    assert acme.api_keys.get(pk=key.pk).disabled


@pytest.mark.parametrize("action", ["remove", "switch"])
def test_the_last_address_of_a_key_that_needs_one_stays(owner, acme, key, action):
    row = services.add_allowed_ip(actor=owner, key=key, network="192.0.2.1")
    services.update_policy(actor=owner, organization=acme, confined_scopes=["DELETE"])
    where = page_of(key, f"allowed-ip-{action}", row.pk)
    client = sign_in(owner)
    sent = {"active": "0", "confirm": "1", "confirmed": "1", "confirm_lockout": "on"}
    page = client.post(where, sent, follow=True)
    assert "with the scope DELETE" in words_of(page)
    assert key.allowed_ips.get().active


def test_the_page_costs_few_queries(owner, acme, key, django_assert_max_num_queries):
    services.update_policy(
        actor=owner, organization=acme, roles=[RoleTerms(role("developer"), frozenset({"READ"}))]
    )
    client = sign_in(owner)
    with django_assert_max_num_queries(13):
        assert client.get(url(acme)).status_code == 200
