"""Whatever a service changes of a verdict, the next answer of the gate knows it."""

import inspect
from datetime import timedelta

import pytest
from django.utils import timezone

from keys import generations, policy, services, snapshots, usage
from keys.gate import Gate
from keys.models import Role
from keys.services.bulk import Disable, Enable
from tests.test_gate import refuse_to_answer, send

# What changes nothing that is remembered: it reads, counts, makes what is new, concerns what
# nobody may use, or shows on pages only.
CHANGES_NO_VERDICT = {
    "accept_invitation", "assemble_netosecret", "authenticate_key", "choose_notifications",
    "create_organization", "create_person", "create_role", "create_scope", "create_webhook",
    "create_workspace", "decline_invitation", "delete_role", "delete_scope", "delete_webhook",
    "delete_workspace", "deny_request", "exchange_request_token", "explain_secret",
    "find_invitation", "find_invitation_for", "find_invitations_of", "find_joined",
    "find_secret", "hand_in_secret", "has_address", "import_keys", "invite",
    "issue_approved_key", "issue_key", "look_at_rates", "name_oneself", "note_account_event",
    "note_audit_export", "note_export", "note_grant", "note_password_change", "note_read",
    "note_report_export", "plan_change", "plan_policy", "rates_of", "reason_against_invitation",
    "reason_to_keep_owner", "reason_to_keep_role", "reason_to_keep_scope",
    "reason_to_keep_workspace", "reason_to_stay_disabled", "refresh_session", "replay_delivery",
    "request_change", "request_key", "request_role", "resend_invitation",
    "reveal_shared_secret", "revoke_invitation", "rotate_shared_secret",
    "rotate_webhook_secret", "send_letters", "settle_leak", "test_webhook",
    "transfer_ownership", "update_policy", "update_scope", "update_server_address",
    "update_webhook", "update_workspace", "verify_key", "withdraw_request", "write_letter",
}  # fmt: skip

# These change keys by a service that has a row.
BY_ANOTHER = {"approve_request": "update_key", "narrow_key": "update_key"}


@pytest.fixture
def memory(settings, tmp_path):
    """What a worker has: an empty memory that is trusted, and a journal."""
    snapshots.forget()
    generations.trust_until(2**63)
    usage.keep_journal(tmp_path)
    yield
    usage.drop_journal()
    snapshots.forget()
    generations.trust_until(0)


@pytest.mark.django_db(transaction=True)
def test_the_next_answer_knows_what_a_service_changed(memory, acme, owner, admin, developer, staff,
                                                      key):  # fmt: skip
    """T22: by rows of (service, what it is called with, what the gate answers next)."""
    gate = Gate(refuse_to_answer)
    asked = set()
    orders = services.create_scope(actor=owner, organization=acme, code="orders:read")
    clerk = services.create_role(actor=owner, organization=acme, name="clerk", scopes=[orders])
    till = services.issue_key(actor=owner, organization=acme, name="Till", owner=None, role=clerk)
    own = {"actor": owner, "organization": acme}
    of_key = {"actor": owner, "key": key}

    def ask(presented=key, query=""):
        return send(gate, path=f"/v1/auth{query}", HTTP_X_API_KEY=presented.secret)

    def see(name, arguments, status, presented=key, query=""):
        before = ask(presented, query)[0]
        misses = snapshots.counts().from_database
        assert ask(presented, query)[0] == before
        assert snapshots.counts().from_database == misses, f"Not remembered before {name}."
        asked.add(name)
        result = getattr(services, name)(**arguments)
        after, headers, _body = ask(presented, query)
        assert after == status, name
        assert after != before or before == 204, name
        return result or headers

    def membership():
        return acme.memberships.get(user=developer)

    def role(name):
        return Role.objects.get(organization=None, name=name)

    see("disable_key", of_key, 401)
    see("enable_key", of_key, 204)
    services.update_policy(**own, idle_days=30)
    see("disable_idle_keys", {"now": timezone.now() + timedelta(days=31)}, 401)
    see("enable_key", of_key, 204)
    services.enable_key(actor=owner, key=till)
    see("lock_key", {"actor": staff, "key": key}, 401)
    see("unlock_key", {"actor": staff, "key": key}, 204)
    seen = [key.identifier]
    for change, status in ((Disable(), 401), (Enable(), 204)):
        plan = services.plan_change(**own, identifiers=seen, change=change)
        prints = {item.key.identifier: item.fingerprint for item in plan.items}
        see("change_keys", {**own, "seen": prints, "change": change}, status)

    see("update_key", {**of_key, "allowed_ips": ["192.0.2.1"]}, 403)
    see("update_key", {**of_key, "allowed_ips": []}, 204)
    row = see("add_allowed_ip", {**of_key, "network": "192.0.2.1"}, 403)
    see("change_allowed_ip", {"actor": owner, "allowed_ip": row, "active": False}, 204)
    see("change_allowed_ip", {"actor": owner, "allowed_ip": row, "active": True}, 403)
    see("remove_allowed_ip", {"actor": owner, "allowed_ip": row}, 204)

    see("update_key", {**of_key, "assign_server_ips": True}, 403)
    row = see("add_server_address", {**own, "network": "127.0.0.1"}, 204)
    see("remove_server_address", {"actor": owner, "server_address": row}, 403)
    here = [{"network": "127.0.0.0/8", "comment": ""}]
    see("add_server_addresses", {**own, "addresses": here}, 204)

    see("suspend_organization", {"actor": staff, "organization": acme}, 401)
    see("resume_organization", {"actor": staff, "organization": acme}, 204)
    for name, status in (("readonly", 403), ("developer", 204)):
        change = {"actor": owner, "membership": membership(), "role": role(name)}
        see("update_member", change, status, query="?scope=UPDATE")
    back = {**own, "user": developer, "role": role("developer")}
    see("remove_member", {"actor": owner, "membership": membership()}, 401)
    # Being a member again does not bring keys back; but one that an older release let be enabled.
    acme.api_keys.filter(pk=key.pk).update(disabled=False)
    see("add_member", back, 204)
    see("leave_organization", {"actor": developer, "organization": acme}, 401)
    services.add_member(**back)
    see("enable_key", of_key, 204)
    root = {"actor": policy.OPERATOR, "person": developer}
    see("update_person", {**root, "is_active": False}, 401)
    see("update_person", {**root, "is_active": True}, 204)

    see("update_role", {"actor": owner, "role": clerk, "scopes": []}, 403, till,
        "?scope=orders:read")  # fmt: skip
    see("update_role", {"actor": owner, "role": clerk, "scopes": [orders]}, 204, till,
        "?scope=orders:read")  # fmt: skip
    see("update_role", {"actor": owner, "role": clerk, "name": "cashier"}, 204, till)
    assert ask(till)[1]["X-Keyhaven-Role"] == "cashier"
    see("update_organization", {**own, "slug": "renamed"}, 204)
    assert ask()[1]["X-Keyhaven-Organization"] == "renamed"

    see("rotate_key", {**of_key, "actor": developer, "overlap": timedelta(hours=1)}, 204)
    old = key.secrets.earliest("pk")
    see("retire_secret", {"actor": developer, "secret": old}, 401)
    elsewhere = {"actor": owner, "owner": None}
    theirs = services.issue_key(actor=developer, organization=acme, name="Theirs")
    see("hand_over_key", {**elsewhere, "key": theirs}, 401, theirs)
    theirs = services.issue_key(actor=developer, organization=acme, name="Theirs, too")
    see("hand_over_keys", {**elsewhere, "keys": [theirs]}, 401, theirs)
    see("revoke_key", {"actor": owner, "key": till}, 401, till)
    spare = services.issue_key(**own, name="Spare", owner=None)
    see("revoke_key_everywhere", {"actor": owner, "key": spare}, 401, spare)

    every = {name for name in services.__all__ if inspect.isfunction(getattr(services, name))}
    assert asked | CHANGES_NO_VERDICT | BY_ANOTHER.keys() == every
    assert not asked & CHANGES_NO_VERDICT
    assert set(BY_ANOTHER.values()) <= asked
