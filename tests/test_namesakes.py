"""People choose their names, and two may choose the same: their addresses tell them apart."""

import pytest
from django.urls import reverse
from django.utils import timezone

from keys import services, summaries
from keys.models import Membership, Role, User
from keys.rules import RoleTerms
from tests.conftest import join, make_person
from tests.key_pages import issue, listing, sign_in, text_of, words_of

pytestmark = pytest.mark.django_db

ANNA = "Anna Admin (other@acme.example)"


def url(name: str, *more) -> str:
    return reverse(f"keys:{name}", args=["acme", *more])


@pytest.fixture
def anna(acme, admin) -> User:
    """Somebody who calls herself what the admin is called."""
    User.objects.filter(pk=admin.pk).update(first_name="Anna", last_name="Admin")
    anna = make_person("other@acme.example", first_name="Anna", last_name="Admin")
    join(acme, anna, "developer")
    return anna


@pytest.fixture
def membership(acme, anna) -> Membership:
    return acme.memberships.get(user=anna)


def test_who_hands_over_ownership_reads_to_whom(owner, membership):
    page = words_of(sign_in(owner).get(url("member-transfer", membership.pk)))
    assert f"Make {ANNA} the owner in your stead?" in page
    assert f"{ANNA} decides from then on" in page
    assert f"Roles stay: {ANNA} has" in page
    done = sign_in(owner).post(url("member-transfer", membership.pk), follow=True)
    assert f"{ANNA} is an owner now" in words_of(done)


def test_who_removes_somebody_reads_whom(owner, acme, anna, membership):
    issue(anna, acme, scopes=["READ"])
    page = words_of(sign_in(owner).get(url("member-remove", membership.pk)))
    assert f"Remove {ANNA}?" in page
    assert f"{ANNA} knows its secret" in page
    done = sign_in(owner).post(url("member-remove", membership.pk), follow=True)
    assert f"{ANNA} is no longer a member." in words_of(done)


def test_who_changes_somebody_reads_whom(owner, membership):
    reader = Role.objects.get(organization=None, name="readonly")
    address = url("member-edit", membership.pk)
    seen = sign_in(owner).post(address, {"role": reader.pk}, follow=True)
    form = {"role": reader.pk, "agreed": seen.context["form"].change.mark}
    done = sign_in(owner).post(address, form, follow=True)
    assert f"What {ANNA} is here was saved." in words_of(done)


def test_who_asks_for_a_role_reads_for_whom(owner, acme, membership):
    services.update_policy(actor=owner, organization=acme, two_person_rule=True)
    role = Role.objects.get(organization=None, name="admin")
    page = words_of(sign_in(owner).get(url("role-ask", membership.pk, role.pk)))
    assert f"The role admin for {ANNA}" in page


def test_who_decides_reads_who_asks_and_who_decided(owner, acme, anna):
    developer = Role.objects.get(organization=None, name="developer")
    terms = RoleTerms(developer, approval_scopes=frozenset({"DELETE"}))
    services.update_policy(actor=owner, organization=acme, roles=[terms])
    User.objects.filter(pk=owner.pk).update(first_name="Anna", last_name="Admin")
    requests = [
        services.request_key(
            actor=anna, organization=acme, name=name, scopes=["DELETE"], reason="Old files."
        )
        for name in ("Broom", "Mop")
    ]
    client = sign_in(owner)
    form = {"action": "deny", "note": "Too much."}
    done = client.post(url("approval", requests[0].pk), form, follow=True)
    assert f"You denied it; {ANNA} is told why." in words_of(done)
    page = words_of(client.get(url("approval", requests[1].pk)))
    assert f"{ANNA} asked before:" in page
    assert f"It can revoke the keys of {ANNA}." in page
    assert f"Only {ANNA}, once" in page
    listed = words_of(client.get(url("approvals")))
    assert "Anna Admin (owner@acme.example): “Too much.”" in listed


def test_lists_of_keys_say_whose_they_are(owner, acme, anna):
    key = issue(anna, acme, scopes=["READ"])
    client = sign_in(owner)
    assert ANNA in words_of(client.get(url("hygiene-check", "no_ip_list")))
    assert f'title="{ANNA}"' in text_of(client.get(listing(acme)))
    form = {"action": "disable", "key": [key.identifier]}
    assert ANNA in words_of(client.post(url("bulk"), form))


def test_a_key_in_words_names_its_owner(acme, anna):
    key = issue(anna, acme, scopes=["READ"])
    told = summaries.summarize(summaries.facts_of(key), now=timezone.now())
    assert f"It can read the keys of {ANNA} in Acme" in told.abilities[0]


@pytest.mark.parametrize(
    ("first", "last", "shown"),
    [
        ("owner@acme.example", "Weber", "Weber (old@acme.example)"),
        ("Click", "https://evil.example", "Click (old@acme.example)"),
        ("\u202eanna", "", "old@acme.example"),
        ("\uff21nna", " Weber ", "Anna Weber (old@acme.example)"),
    ],
)
def test_of_a_name_stored_before_names_were_cleaned_only_what_passes_is_shown(
    owner, acme, first, last, shown
):
    person = make_person("old@acme.example")
    join(acme, person, "developer")
    User.objects.filter(pk=person.pk).update(first_name=first, last_name=last)
    person.refresh_from_db()
    assert person.name_and_address == shown
    assert person.display_name == shown.removesuffix(" (old@acme.example)")
    page = text_of(sign_in(owner).get(url("members")))
    assert "owner@acme.example Weber" not in page
    assert "evil.example" not in page
