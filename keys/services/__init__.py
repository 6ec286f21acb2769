"""Everything that changes something: authorize, validate, write and audit, in one transaction.

Every service is keyword-only and takes `actor`, a person or a credential. They raise
PermissionDenied when the actor may not, ValidationError with canonical field names when
the input is wrong, and the model's DoesNotExist when the row is gone meanwhile.
"""

from keys.services.allowed_ips import add_allowed_ip, change_allowed_ip, remove_allowed_ip
from keys.services.bulk import change_keys, plan_change
from keys.services.exchange import (
    ExchangeRefusedError,
    assemble_netosecret,
    exchange_request_token,
    refresh_session,
)
from keys.services.explaining import Explanation, explain_secret, find_secret
from keys.services.exports import note_export
from keys.services.keys import (
    disable_key,
    enable_key,
    issue_key,
    lock_key,
    revoke_key,
    unlock_key,
    update_key,
)
from keys.services.members import (
    add_member,
    leave_organization,
    reason_to_keep_owner,
    remove_member,
    update_member,
)
from keys.services.narrowing import narrow_key
from keys.services.organizations import (
    create_organization,
    resume_organization,
    suspend_organization,
    update_organization,
)
from keys.services.people import create_person, note_password_change, update_person
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
from keys.services.workspaces import (
    create_workspace,
    delete_workspace,
    reason_to_keep_workspace,
    update_workspace,
)

__all__ = [
    "ExchangeRefusedError",
    "Explanation",
    "SessionTokens",
    "Verdict",
    "add_allowed_ip",
    "add_member",
    "add_server_address",
    "add_server_addresses",
    "assemble_netosecret",
    "authenticate_key",
    "change_allowed_ip",
    "change_keys",
    "create_organization",
    "create_person",
    "create_role",
    "create_scope",
    "create_workspace",
    "delete_role",
    "delete_scope",
    "delete_workspace",
    "disable_key",
    "enable_key",
    "exchange_request_token",
    "explain_secret",
    "find_secret",
    "issue_key",
    "leave_organization",
    "lock_key",
    "narrow_key",
    "note_export",
    "note_grant",
    "note_password_change",
    "plan_change",
    "reason_to_keep_owner",
    "reason_to_keep_role",
    "reason_to_keep_scope",
    "reason_to_keep_workspace",
    "refresh_session",
    "remove_allowed_ip",
    "remove_member",
    "remove_server_address",
    "resume_organization",
    "retire_secret",
    "reveal_shared_secret",
    "revoke_key",
    "rotate_key",
    "rotate_shared_secret",
    "suspend_organization",
    "unlock_key",
    "update_key",
    "update_member",
    "update_organization",
    "update_person",
    "update_role",
    "update_scope",
    "update_server_address",
    "update_workspace",
    "verify_key",
]
