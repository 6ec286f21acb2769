"""Who belongs to an organization, in which role."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from keys import policy
from keys.models import Membership, Organization, Role, User
from keys.policy import Actor
from keys.roles import Permission
from keys.services import audit, rows
from keys.services.grants import refuse_beyond
from keys.services.validation import save, validate


def add_member(
    *,
    actor: Actor,
    organization: Organization,
    user: User,
    role: Role,
    is_owner: bool = False,
) -> Membership:
    """Make a person a member in this role.

    Raises PermissionDenied, also when the actor lacks a scope of the role;
    ValidationError by field.
    """
    policy.require(actor, Permission.ADD_MEMBERSHIP, organization)
    _refuse_role_beyond(actor, organization, role)
    if is_owner:
        policy.require(actor, Permission.OWN_ORGANIZATION, organization)
    membership = Membership(organization=organization, user=user, role=role, is_owner=is_owner)
    validate(membership)
    with transaction.atomic():
        rows.hold("role", [role])
        save(membership)
        audit.record(
            actor=actor,
            action="membership.created",
            obj=membership,
            organization=organization,
            changes=_describe(membership),
        )
    return membership


def update_member(*, actor: Actor, membership: Membership, **changes: Any) -> Membership:
    """Change a member's `role` or `is_owner`.

    Raises PermissionDenied; ValidationError when the last owner would be lost.
    """
    unknown = changes.keys() - {"role", "is_owner"}
    if unknown:
        raise TypeError(f"A membership has no changeable {', '.join(sorted(unknown))}.")
    with transaction.atomic():
        membership = _open(actor, membership, Permission.CHANGE_MEMBERSHIP)
        before = _describe(membership)
        if "role" in changes:
            _refuse_role_beyond(actor, membership.organization, changes["role"])
            rows.hold("role", [changes["role"]])
            membership.role = changes["role"]
        if changes.get("is_owner", membership.is_owner) != membership.is_owner:
            policy.require(actor, Permission.OWN_ORGANIZATION, membership.organization)
            membership.is_owner = changes["is_owner"]
        membership.save(update_fields=["role", "is_owner"])
        _refuse_ownerless(membership.organization)
        after = _describe(membership)
        if after != before:
            audit.record(
                actor=actor,
                action="membership.updated",
                obj=membership,
                organization=membership.organization,
                changes={
                    field: [before[field], value]
                    for field, value in after.items()
                    if before[field] != value
                },
            )
    return membership


def remove_member(*, actor: Actor, membership: Membership) -> None:
    """End a membership; the person's keys stop working at their next use.

    Raises PermissionDenied; ValidationError when the last owner would be lost.
    """
    with transaction.atomic():
        membership = _open(actor, membership, Permission.DELETE_MEMBERSHIP)
        audit.record(
            actor=actor,
            action="membership.deleted",
            obj=membership,
            organization=membership.organization,
            changes=_describe(membership),
        )
        organization = membership.organization
        membership.delete()
        _refuse_ownerless(organization)


def _open(actor: Actor, membership: Membership, permission: Permission) -> Membership:
    policy.require(actor, permission, membership)
    # The organization's row is what two changes of its owners meet at.
    rows.lock(membership.organization)
    membership = rows.lock(membership)
    if membership.is_owner:
        policy.require(actor, Permission.OWN_ORGANIZATION, membership.organization)
    return membership


def _refuse_role_beyond(actor: Actor, organization: Organization, role: Role) -> None:
    if role.organization_id not in (None, organization.pk):
        raise ValidationError({"role": _("This organization has no such role.")})
    refuse_beyond(actor, organization, {scope.code for scope in role.scopes.all()})


def _refuse_ownerless(organization: Organization) -> None:
    if not organization.memberships.filter(is_owner=True).exists():
        raise ValidationError(_("An organization keeps at least one owner."))


def _describe(membership: Membership) -> dict[str, Any]:
    return {
        "user": str(membership.user),
        "role": str(membership.role),
        "is_owner": membership.is_owner,
    }
