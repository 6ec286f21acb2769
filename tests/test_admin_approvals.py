"""Requests for approval at the staff door: read by staff, decided on by whom the policy lets."""

from datetime import timedelta

import pytest
from django.utils import timezone

from keys import services
from keys.models import AuditEvent, Role
from keys.rules import RoleTerms
from tests.staff_pages import act, errors, page, press


@pytest.fixture
def asked(acme, owner, developer):
    """A developer's request for a key that deletes."""
    role = Role.objects.get(organization=None, name="developer")
    terms = RoleTerms(role, approval_scopes=frozenset({"DELETE"}))
    services.update_policy(actor=owner, organization=acme, roles=[terms])
    return services.request_key(
        actor=developer,
        organization=acme,
        reason="Old files pile up.",
        name="Cleaner",
        scopes=["READ", "DELETE"],
        expires_at=timezone.now() + timedelta(days=10),
    )


def test_staff_read_what_is_asked_for_and_why(as_staff, asked):
    assert "Cleaner" in as_staff.get(page("approvalrequest_changelist")).text
    text = as_staff.get(page("approvalrequest_change", asked.pk)).text
    assert "Old files pile up." in text
    assert "giving DELETE to a key needs approval" in text
    assert "Scopes: READ, DELETE" in text


def test_the_list_is_narrowed_by_what_became_of_requests(as_staff, asked, owner):
    waiting = page("approvalrequest_changelist", status="pending")
    assert "Cleaner" in as_staff.get(waiting).text
    services.deny_request(actor=owner, request=asked, note="No.")
    assert "Cleaner" not in as_staff.get(waiting).text
    assert "Cleaner" in as_staff.get(page("approvalrequest_changelist", status="denied")).text


def test_staff_decide_nothing(as_staff, asked):
    assert "Approve…" not in as_staff.get(page("approvalrequest_change", asked.pk)).text
    for button in ("approve", "deny"):
        assert press(as_staff, asked, button, note="Fine.").status_code == 403
        act(as_staff, "approvalrequest", button, asked, post="yes", note="Fine.")
    for name in ("add", "change", "delete"):
        arguments = [] if name == "add" else [asked.pk]
        sent = as_staff.post(page(f"approvalrequest_{name}", *arguments), {"post": "yes"})
        assert sent.status_code == 403
    asked.refresh_from_db()
    assert asked.state == "pending"


def test_a_superuser_approves_what_then_whoever_asked_issues(
    as_superuser, superuser, asked, developer
):
    assert "Approve…" in as_superuser.get(page("approvalrequest_change", asked.pk)).text
    press(as_superuser, asked, "approve", note="Until spring.")
    asked.refresh_from_db()
    assert (asked.state, asked.decided_by, asked.note) == ("approved", superuser, "Until spring.")
    event = AuditEvent.objects.get(action="approval.approved")
    assert (event.actor_user, event.door) == (superuser, "admin")
    assert services.issue_approved_key(actor=developer, request=asked).name == "Cleaner"


def test_a_superuser_demands_from_where_the_key_works(as_superuser, asked, developer):
    wrong = press(as_superuser, asked, "approve", note="", allowed_ips="nowhere")
    assert "not an IP address" in errors(wrong)
    press(as_superuser, asked, "approve", note="", allowed_ips="192.0.2.0/24  # Office")
    key = services.issue_approved_key(actor=developer, request=asked)
    assert [row.network for row in key.allowed_ips.all()] == ["192.0.2.0/24"]
    text = as_superuser.get(page("approvalrequest_change", asked.pk)).text
    assert "Allowed IPs: not said (192.0.2.0/24)" in text


def test_a_denial_says_why(as_superuser, asked):
    response = press(as_superuser, asked, "deny", note="")
    assert "required" in errors(response)
    act(as_superuser, "approvalrequest", "deny", asked, post="yes", note="Use the other.")
    asked.refresh_from_db()
    assert (asked.state, asked.note) == ("denied", "Use the other.")


def test_what_the_requester_lost_meanwhile_is_said_to_who_decides(
    as_superuser, asked, acme, developer
):
    acme.memberships.get(user=developer).delete()
    response = press(as_superuser, asked, "approve", note="")
    assert response.status_code == 302
    asked.refresh_from_db()
    assert asked.state == "pending"
    assert "do not have permission" in as_superuser.get(response["Location"]).text


def test_nobody_approves_what_they_asked_for_themselves(as_superuser, superuser, asked):
    asked.requester = superuser
    asked.save(update_fields=["requester"])
    assert press(as_superuser, asked, "approve", note="").status_code == 403
    assert "Approve…" not in as_superuser.get(page("approvalrequest_change", asked.pk)).text
