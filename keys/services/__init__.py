"""Everything that changes something: authorize, validate, write and audit, in one transaction.

Every service is keyword-only and takes `actor`, a person or a credential. They raise
PermissionDenied when the actor may not, ValidationError with canonical field names when
the input is wrong, and the model's DoesNotExist when the row is gone meanwhile.
"""

from keys.services.allowed_ips import add_allowed_ip, change_allowed_ip, remove_allowed_ip
from keys.services.approvals import (
    approve_request,
    deny_request,
    issue_approved_key,
    request_change,
    request_key,
    request_role,
    withdraw_request,
)
from keys.services.bulk import change_keys, plan_change
from keys.services.exchange import (
    ExchangeRefusedError,
    assemble_netosecret,
    exchange_request_token,
    refresh_session,
)
from keys.services.explaining import Explanation, explain_secret, find_secret
from keys.services.exports import note_audit_export, note_export, note_read, note_report_export
from keys.services.handing_over import hand_over_key, hand_over_keys
from keys.services.importing import ImportOptions, ImportReport, import_keys
from keys.services.invitations import (
    accept_invitation,
    decline_invitation,
    find_invitation,
    find_invitation_for,
    find_invitations_of,
    find_joined,
    has_address,
    invite,
    reason_against_invitation,
    resend_invitation,
    revoke_invitation,
)
from keys.services.keys import (
    disable_key,
    enable_key,
    issue_key,
    reason_to_stay_disabled,
    revoke_key,
    update_key,
)
from keys.services.leaks import TooManyReportsError, hand_in_secret, settle_leak
from keys.services.letters import send_letters, write_letter
from keys.services.locking import lock_key, unlock_key
from keys.services.members import (
    add_member,
    leave_organization,
    reason_to_keep_owner,
    remove_member,
    transfer_ownership,
    update_member,
)
from keys.services.narrowing import narrow_key
from keys.services.notifications import choose_notifications
from keys.services.organizations import (
    create_organization,
    resume_organization,
    suspend_organization,
    update_organization,
)
from keys.services.people import (
    create_person,
    name_oneself,
    note_account_event,
    note_password_change,
    update_person,
)
from keys.services.policies import disable_idle_keys, plan_policy, update_policy
from keys.services.rate_limits import look_at_rates, rates_of
from keys.services.revoking import Revocation, revoke_key_everywhere
from keys.services.roles import create_role, delete_role, reason_to_keep_role, update_role
from keys.services.rotation import retire_secret, rotate_key
from keys.services.scopes import create_scope, delete_scope, reason_to_keep_scope, update_scope
from keys.services.server_addresses import (
    add_server_address,
    add_server_addresses,
    remove_server_address,
    update_server_address,
)
from keys.services.sessions import SessionTokens
from keys.services.shared_secrets import reveal_shared_secret, rotate_shared_secret
from keys.services.verifying import Verdict, authenticate_key, note_grant, verify_key
from keys.services.webhooks import (
    create_webhook,
    delete_webhook,
    replay_delivery,
    rotate_webhook_secret,
    test_webhook,
    update_webhook,
)
from keys.services.workspaces import (
    create_workspace,
    delete_workspace,
    reason_to_keep_workspace,
    update_workspace,
)

__all__ = [
    "ExchangeRefusedError",
    "Explanation",
    "ImportOptions",
    "ImportReport",
    "Revocation",
    "SessionTokens",
    "TooManyReportsError",
    "Verdict",
    "accept_invitation",
    "add_allowed_ip",
    "add_member",
    "add_server_address",
    "add_server_addresses",
    "approve_request",
    "assemble_netosecret",
    "authenticate_key",
    "change_allowed_ip",
    "change_keys",
    "choose_notifications",
    "create_organization",
    "create_person",
    "create_role",
    "create_scope",
    "create_webhook",
    "create_workspace",
    "decline_invitation",
    "delete_role",
    "delete_scope",
    "delete_webhook",
    "delete_workspace",
    "deny_request",
    "disable_idle_keys",
    "disable_key",
    "enable_key",
    "exchange_request_token",
    "explain_secret",
    "find_invitation",
    "find_invitation_for",
    "find_invitations_of",
    "find_joined",
    "find_secret",
    "hand_in_secret",
    "hand_over_key",
    "hand_over_keys",
    "has_address",
    "import_keys",
    "invite",
    "issue_approved_key",
    "issue_key",
    "leave_organization",
    "lock_key",
    "look_at_rates",
    "name_oneself",
    "narrow_key",
    "note_account_event",
    "note_audit_export",
    "note_export",
    "note_grant",
    "note_password_change",
    "note_read",
    "note_report_export",
    "plan_change",
    "plan_policy",
    "rates_of",
    "reason_against_invitation",
    "reason_to_keep_owner",
    "reason_to_keep_role",
    "reason_to_keep_scope",
    "reason_to_keep_workspace",
    "reason_to_stay_disabled",
    "refresh_session",
    "remove_allowed_ip",
    "remove_member",
    "remove_server_address",
    "replay_delivery",
    "request_change",
    "request_key",
    "request_role",
    "resend_invitation",
    "resume_organization",
    "retire_secret",
    "reveal_shared_secret",
    "revoke_invitation",
    "revoke_key",
    "revoke_key_everywhere",
    "rotate_key",
    "rotate_shared_secret",
    "rotate_webhook_secret",
    "send_letters",
    "settle_leak",
    "suspend_organization",
    "test_webhook",
    "transfer_ownership",
    "unlock_key",
    "update_key",
    "update_member",
    "update_organization",
    "update_person",
    "update_policy",
    "update_role",
    "update_scope",
    "update_server_address",
    "update_webhook",
    "update_workspace",
    "verify_key",
    "withdraw_request",
    "write_letter",
]
