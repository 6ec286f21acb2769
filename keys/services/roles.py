"""Roles that an organization defines: bundles of scopes that people hold and keys follow."""

from collections.abc import Iterable
from typing import Any, cast

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from keys import generations, policy
from keys.models import Organization, Role, Scope
from keys.policy import Actor
from keys.roles import FIRST_CUSTOM_ROLE_NUMBER, Permission
from keys.services import audit, enforcing, rows
from keys.services.grants import refuse_beyond
from keys.services.validation import save, validate


def create_role(
    *,
    actor: Actor,
    organization: Organization,
    name: str,
    number: int | None = None,
    scopes: Iterable[Scope] = (),
    description: str = "",
) -> Role:
    """Define a role of the organization; without a number it gets the next free one.

    Raises PermissionDenied, also when the actor lacks one of the scopes; ValidationError.
    """
    policy.require(actor, Permission.ADD_ROLE, organization)
    scopes = list(scopes)
    _refuse_foreign(organization, scopes)
    codes = sorted(scope.code for scope in scopes)
    refuse_beyond(actor, organization, codes)
    role = Role(
        organization=organization,
        name=name,
        number=_next_number(organization) if number is None else number,
        description=description,
    )
    validate(role)
    with transaction.atomic():
        rows.hold("scopes", scopes)
        generations.note_organization(organization.pk)
        save(role)
        role.scopes.set(scopes)
        rows.record_created(actor, role, organization, {"scopes": codes})
    return role


def update_role(*, actor: Actor, role: Role, **changes: Any) -> Role:
    """Change a role's `name`, `description` or `scopes`, for all who hold it.

    Raises PermissionDenied, also when the actor lacks a scope that the role would gain;
    ValidationError, also when keys that follow it could not be given that scope.
    """
    policy.require(actor, Permission.CHANGE_ROLE, role)
    scopes = changes.pop("scopes", None)
    with transaction.atomic():
        role = rows.lock(role)
        if scopes is not None:
            _change_scopes(actor, role, scopes)
        if changes:
            role = rows.update(
                actor,
                role,
                role.organization,
                Permission.CHANGE_ROLE,
                changes,
                {"name", "description"},
            )
    return role


def delete_role(*, actor: Actor, role: Role) -> None:
    """Delete a role of the organization that nobody holds. Raises as delete_workspace."""
    rows.delete(actor, role, Permission.DELETE_ROLE, reason_to_keep_role)


def reason_to_keep_role(role: Role) -> str:
    """Return why a role cannot be deleted now; empty when it can."""
    if role.memberships.exists() or role.api_keys.filter(revoked_at=None).exists():
        return _("People or keys hold this role; it cannot be deleted before they have another.")
    if role.api_keys.exists():
        return _("Revoked keys held this role; it cannot be deleted while they are kept.")
    return ""


def _next_number(organization: Organization) -> int:
    highest = organization.roles.aggregate(highest=Max("number"))["highest"] or 0
    return max(highest + 1, FIRST_CUSTOM_ROLE_NUMBER)


def _change_scopes(actor: Actor, role: Role, scopes: Iterable[Scope]) -> None:
    organization = cast(Organization, role.organization)  # nobody may change a built-in role
    before = {scope.code for scope in role.scopes.all()}
    scopes = list(scopes)
    _refuse_foreign(organization, scopes)
    after = {scope.code for scope in scopes}
    refuse_beyond(actor, organization, after - before)
    enforcing.refuse_sharing(actor, role, after - before)
    rows.hold("scopes", scopes)
    role.scopes.set(scopes)
    if after - before:
        enforcing.refuse_breaking_by_role(role)
    if before != after:
        audit.record(
            actor=actor,
            action="role.updated",
            obj=role,
            organization=organization,
            changes={"scopes": [sorted(before), sorted(after)]},
        )


def _refuse_foreign(organization: Organization, scopes: Iterable[Scope]) -> None:
    if any(scope.organization_id not in (None, organization.pk) for scope in scopes):
        raise ValidationError({"scopes": _("This organization has no such scope.")})
