"""What somebody asked for ends with their membership: nobody could use it."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.urls import reverse
from django.utils import timezone

from keys import services
from keys.models import ApprovalRequest, AuditEvent, Role
from keys.rules import RoleTerms
from tests.conftest import join
from tests.key_pages import words_of


def role(name: str) -> Role:
    return Role.objects.get(organization=None, name=name)


def ask(person, organization, name: str) -> ApprovalRequest:
    """Ask for a key that deletes, for which developers need approval."""
    terms = RoleTerms(role("developer"), frozenset(), frozenset({"DELETE"}), None)
    owner = organization.memberships.get(is_owner=True).user
    services.update_policy(actor=owner, organization=organization, roles=[terms])
    return services.request_key(
        actor=person,
        organization=organization,
        reason="Old files pile up.",
        name=name,
        scopes=["READ", "DELETE"],
        expires_at=timezone.now() + timedelta(days=10),
    )


@pytest.fixture
def pending(acme, developer) -> ApprovalRequest:
    return ask(developer, acme, "Pending")


@pytest.fixture
def approved(acme, owner, developer) -> ApprovalRequest:
    return services.approve_request(actor=owner, request=ask(developer, acme, "Approved"))


def state(request: ApprovalRequest) -> str:
    return ApprovalRequest.objects.get(pk=request.pk).state


def remove(acme, owner, person) -> None:
    services.remove_member(actor=owner, membership=acme.memberships.get(user=person))


def leave(acme, owner, person) -> None:
    services.leave_organization(actor=person, organization=acme)


@pytest.mark.parametrize("go", [remove, leave])
def test_what_they_asked_for_and_was_approved_is_withdrawn(
    acme, owner, developer, pending, approved, go
):
    go(acme, owner, developer)
    assert [state(pending), state(approved)] == ["withdrawn", "withdrawn"]
    events = AuditEvent.objects.filter(action="approval.withdrawn")
    assert {event.object_label for event in events} == {"Pending", "Approved"}
    assert [event.changes for event in events] == [{"reason": "whoever asked left"}] * 2
    assert {event.organization for event in events} == {acme}


def test_the_page_of_a_request_says_who_withdrew_it_and_why(
    client, acme, owner, developer, pending
):
    remove(acme, owner, developer)
    client.force_login(owner)
    page = words_of(client.get(reverse("keys:approval", args=["acme", pending.pk])))
    assert "owner@acme.example withdrew the request for Pending" in page
    assert "whoever asked is no longer a member." in page


def test_what_is_over_stays_as_it_was(acme, owner, developer):
    denied = services.deny_request(actor=owner, request=ask(developer, acme, "No"), note="No.")
    issued = services.approve_request(actor=owner, request=ask(developer, acme, "Yes"))
    services.issue_approved_key(actor=developer, request=issued)
    late = ask(developer, acme, "Late")
    ApprovalRequest.objects.filter(pk=late.pk).update(ends_at=timezone.now())
    remove(acme, owner, developer)
    assert [state(denied), state(issued), state(late)] == ["denied", "done", "expired"]


def test_what_others_asked_for_and_what_was_asked_elsewhere_stays(
    acme, owner, developer, viewer, other
):
    join(other, developer, "developer")
    elsewhere = ask(developer, other, "Elsewhere")
    services.update_member(
        actor=owner, membership=acme.memberships.get(user=viewer), role=role("developer")
    )
    of_another = ask(viewer, acme, "Of another")
    remove(acme, owner, developer)
    assert [state(elsewhere), state(of_another)] == ["pending", "pending"]


def test_being_a_member_again_brings_nothing_back(acme, owner, developer, approved):
    remove(acme, owner, developer)
    join(acme, developer, "developer")
    with pytest.raises(ValidationError, match="over: Withdrawn"):
        services.issue_approved_key(actor=developer, request=approved)


def test_who_stays_keeps_what_they_asked_for(acme, owner, admin, developer, pending):
    membership = acme.memberships.get(user=developer)
    with pytest.raises(PermissionDenied):
        services.remove_member(actor=developer, membership=membership)
    assert state(pending) == "pending"


def test_the_page_says_so_before_and_the_trail_afterwards(
    client, acme, owner, developer, pending, approved
):
    client.force_login(owner)
    page = reverse("keys:member-remove", args=["acme", acme.memberships.get(user=developer).pk])
    assert "2 requests for approval of theirs are withdrawn." in client.get(page).text
    client.post(page)
    trail = client.get(reverse("keys:audit", args=["acme"]), {"action": "approval.withdrawn"})
    assert "whoever asked left" in trail.text
