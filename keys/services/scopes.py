"""Scopes that an organization defines for the services that ask the portal to verify."""

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from keys import policy
from keys.models import Organization, Scope
from keys.models.organizations import validate_custom_scope
from keys.policy import Actor
from keys.roles import Permission
from keys.services import rows


def create_scope(
    *, actor: Actor, organization: Organization, code: str, description: str = ""
) -> Scope:
    """Define a scope of the organization, such as orders:read.

    Raises PermissionDenied, ValidationError by field.
    """
    policy.require(actor, Permission.ADD_SCOPE, organization)
    try:
        validate_custom_scope(code)
    except ValidationError as error:
        raise ValidationError({"code": error.messages}) from None
    scope = Scope(organization=organization, code=code, description=description)
    return rows.create(actor, organization, Permission.ADD_SCOPE, scope)


def update_scope(*, actor: Actor, scope: Scope, **changes: Any) -> Scope:
    """Change a scope's `description`; its code is what services ask for and stays.

    Raises PermissionDenied, ValidationError by field.
    """
    return rows.update(
        actor, scope, scope.organization, Permission.CHANGE_SCOPE, changes, {"description"}
    )


def delete_scope(*, actor: Actor, scope: Scope) -> None:
    """Delete a scope of the organization that no live key and no role holds.

    Raises PermissionDenied; ValidationError when something holds it.
    """
    rows.delete(actor, scope, Permission.DELETE_SCOPE, reason_to_keep_scope)


def reason_to_keep_scope(scope: Scope) -> str:
    """Return why a scope cannot be deleted now; empty when it can."""
    if scope.roles.exists() or scope.api_keys.filter(revoked_at=None).exists():
        return _("Keys or roles hold this scope; take it off them first.")
    return ""
