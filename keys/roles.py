"""The vocabulary of permission, on one page.

A *permission* is what the portal asks about ("may they revoke this key?"). A
*scope* is what people and keys are given. The grant table below says which
scope grants which permission, and how far it reaches. Organizations define
further scopes for the services that ask the portal to verify; those grant
nothing here.
"""

import re
from collections.abc import Set
from dataclasses import dataclass
from enum import StrEnum

from django.utils.translation import gettext_noop as _


class Permission(StrEnum):
    """Everything the policy can be asked, under Django's code names."""

    VIEW_ORGANIZATION = "keys.view_organization"
    CHANGE_ORGANIZATION = "keys.change_organization"
    # Say who the owners of an organization are.
    OWN_ORGANIZATION = "keys.own_organization"
    # Stop being a member of it.
    LEAVE_ORGANIZATION = "keys.leave_organization"
    # See what the organization's clients sign with when they exchange a key for a token.
    REVEAL_SHAREDSECRET = "keys.reveal_sharedsecret"
    # Replace it: every client's configuration is then out of date.
    ROTATE_SHAREDSECRET = "keys.rotate_sharedsecret"

    VIEW_WORKSPACE = "keys.view_workspace"
    ADD_WORKSPACE = "keys.add_workspace"
    CHANGE_WORKSPACE = "keys.change_workspace"
    DELETE_WORKSPACE = "keys.delete_workspace"

    VIEW_SCOPE = "keys.view_scope"
    ADD_SCOPE = "keys.add_scope"
    CHANGE_SCOPE = "keys.change_scope"
    DELETE_SCOPE = "keys.delete_scope"

    VIEW_ROLE = "keys.view_role"
    ADD_ROLE = "keys.add_role"
    CHANGE_ROLE = "keys.change_role"
    DELETE_ROLE = "keys.delete_role"

    VIEW_MEMBERSHIP = "keys.view_membership"
    ADD_MEMBERSHIP = "keys.add_membership"
    CHANGE_MEMBERSHIP = "keys.change_membership"
    DELETE_MEMBERSHIP = "keys.delete_membership"

    # Who was asked to join; asking is ADD_MEMBERSHIP.
    VIEW_INVITATION = "keys.view_invitation"
    DELETE_INVITATION = "keys.delete_invitation"

    VIEW_APIKEY = "keys.view_apikey"
    ADD_APIKEY = "keys.add_apikey"
    CHANGE_APIKEY = "keys.change_apikey"
    DELETE_APIKEY = "keys.delete_apikey"
    # Give a key a new secret, and see that secret.
    ROTATE_APIKEY = "keys.rotate_apikey"
    # Issue keys that belong to the organization, or say who created a key.
    ASSIGN_APIKEY = "keys.assign_apikey"
    # Ask whether a key that somebody presented is good.
    VERIFY_APIKEY = "keys.verify_apikey"
    # Lock a key so that the organization itself cannot enable or loosen it.
    LOCK_APIKEY = "keys.lock_apikey"

    # Who asked for what takes a second person.
    VIEW_APPROVALREQUEST = "keys.view_approvalrequest"
    # Take back what one asked for, or use what was approved.
    CHANGE_APPROVALREQUEST = "keys.change_approvalrequest"
    # Decide on what others asked for.
    APPROVE_APPROVALREQUEST = "keys.approve_approvalrequest"

    # Where the organization is told what happens, and what was sent there.
    VIEW_WEBHOOK = "keys.view_webhook"
    CHANGE_WEBHOOK = "keys.change_webhook"

    VIEW_AUDITEVENT = "keys.view_auditevent"

    @property
    def codename(self) -> str:
        """The name without the app: `view_apikey`."""
        return self.value.partition(".")[2]


class BuiltInScope(StrEnum):
    """The five scopes that decide what a person or key may do in the portal."""

    READ = "READ"
    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    MANAGE = "MANAGE"


# Stored in English; pages show them in the reader's language (`Scope.meaning`).
SCOPE_DESCRIPTIONS = {
    BuiltInScope.READ: _("See keys and their use, and ask whether a key is good."),
    BuiltInScope.CREATE: _("Issue keys."),
    BuiltInScope.UPDATE: _("Change, disable and rotate keys."),
    BuiltInScope.DELETE: _("Revoke keys."),
    BuiltInScope.MANAGE: _("Manage every key of the organization, its people and its settings."),
}

# An organization's own scopes: a resource and an action, `orders:read`.
CUSTOM_SCOPE_PATTERN = re.compile(r"[a-z][a-z0-9_.-]*(:[a-z0-9_.*-]+)+")
MAX_SCOPE_LENGTH = 100


@dataclass(frozen=True)
class BuiltInRole:
    """A named bundle of built-in scopes that every organization has."""

    number: int
    name: str
    scopes: frozenset[BuiltInScope]


ADMIN = BuiltInRole(1, "admin", frozenset(BuiltInScope))
DEVELOPER = BuiltInRole(2, "developer", frozenset(BuiltInScope) - {BuiltInScope.MANAGE})
READONLY = BuiltInRole(3, "readonly", frozenset({BuiltInScope.READ}))

BUILT_IN_ROLES = (ADMIN, DEVELOPER, READONLY)
# Organizations number their own roles from here on.
FIRST_CUSTOM_ROLE_NUMBER = 10


class Reach(StrEnum):
    """How far a grant reaches inside one organization; each includes those before it."""

    OWN = "own"  # the keys of the same owner
    SHARED = "shared"  # and those that belong to no person
    ORGANIZATION = "organization"  # everything


# What every member may do, whatever their role. No key has it.
MEMBER_PERMISSIONS = frozenset({Permission.LEAVE_ORGANIZATION})

# What owners of an organization may do beyond the scopes of their role. No key has it.
OWNER_PERMISSIONS = frozenset({Permission.OWN_ORGANIZATION})

_MANAGED = frozenset(Permission) - MEMBER_PERMISSIONS - OWNER_PERMISSIONS - {Permission.LOCK_APIKEY}

# THE grant table: scope -> permission -> reach.
GRANTS: dict[BuiltInScope, dict[Permission, Reach]] = {
    BuiltInScope.READ: {
        Permission.VIEW_ORGANIZATION: Reach.ORGANIZATION,
        Permission.VIEW_WORKSPACE: Reach.ORGANIZATION,
        Permission.VIEW_SCOPE: Reach.ORGANIZATION,
        Permission.VIEW_ROLE: Reach.ORGANIZATION,
        Permission.VIEW_MEMBERSHIP: Reach.ORGANIZATION,
        Permission.VERIFY_APIKEY: Reach.ORGANIZATION,
        Permission.VIEW_APIKEY: Reach.OWN,
        Permission.VIEW_APPROVALREQUEST: Reach.OWN,
    },
    BuiltInScope.CREATE: {
        Permission.ADD_APIKEY: Reach.OWN,
        Permission.CHANGE_APPROVALREQUEST: Reach.OWN,
        # It is part of what a client is configured with, beside the key.
        Permission.REVEAL_SHAREDSECRET: Reach.ORGANIZATION,
    },
    BuiltInScope.UPDATE: {
        Permission.CHANGE_APIKEY: Reach.OWN,
        Permission.ROTATE_APIKEY: Reach.OWN,
        Permission.CHANGE_APPROVALREQUEST: Reach.OWN,
    },
    BuiltInScope.DELETE: {Permission.DELETE_APIKEY: Reach.OWN},
    BuiltInScope.MANAGE: {
        **dict.fromkeys(sorted(_MANAGED), Reach.ORGANIZATION),
        # Whoever sees a secret can act as the key's owner: nobody's but one's own.
        Permission.ROTATE_APIKEY: Reach.SHARED,
        # What somebody asked for is theirs to take back.
        Permission.CHANGE_APPROVALREQUEST: Reach.OWN,
    },
}

# What staff of the installation may do in every organization, without belonging to it.
STAFF_PERMISSIONS = frozenset(
    {permission for permission in Permission if permission.codename.startswith("view_")}
    | {Permission.LOCK_APIKEY, Permission.DELETE_APIKEY}
)


def scopes_granting(permission: Permission, reach: Reach) -> frozenset[str]:
    """Return the codes of the scopes that grant this permission at least that far."""
    reaches = list(Reach)
    enough = reaches[reaches.index(reach) :]
    return frozenset(
        scope.value for scope, grants in GRANTS.items() if grants.get(permission) in enough
    )


def narrowest_scope(permission: Permission, held: Set[str], reach: Reach) -> str | None:
    """Return of the scopes held the one that grants this so far and little else, or None."""
    granting = scopes_granting(permission, reach) & held
    return min(granting, key=lambda code: len(GRANTS[BuiltInScope(code)]), default=None)


def is_scope_code(text: str) -> bool:
    """Say whether the text could be the code of a scope, built-in or an organization's."""
    return text in set(BuiltInScope) or (
        len(text) <= MAX_SCOPE_LENGTH and CUSTOM_SCOPE_PATTERN.fullmatch(text) is not None
    )
