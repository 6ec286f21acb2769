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
            _refuse_ownerless(membership)
            membership.is_owner = changes["is_owner"]
        membership.save(update_fields=["role", "is_owner"])
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
        _end(actor, _open(actor, membership, Permission.DELETE_MEMBERSHIP))


def leave_organization(*, actor: User, organization: Organization) -> None:
    """End one's own membership; one's keys there stop working at their next use.

    Raises PermissionDenied for who is no member; ValidationError for the last owner.
    """
    policy.require(actor, Permission.LEAVE_ORGANIZATION, organization)
    with transaction.atomic():
        rows.lock(organization)
        _end(actor, organization.memberships.select_for_update().get(user=actor))


def reason_to_keep_owner(membership: Membership) -> str:
    """Return why a membership can neither end nor lose its ownership now; empty when it can."""
    others = membership.organization.memberships.filter(is_owner=True).exclude(pk=membership.pk)
    if membership.is_owner and not others.exists():
        return _("An organization keeps at least one owner; make somebody else an owner first.")
    return ""


def _end(actor: Actor, membership: Membership) -> None:
    _refuse_ownerless(membership)
    audit.record(
        actor=actor,
        action="membership.deleted",
        obj=membership,
        organization=membership.organization,
        changes=_describe(membership),
    )
    membership.delete()


def _open(actor: Actor, membership: Membership, permission: Permission) -> Membership:
    # The organization's row is what two changes of its owners meet at.
    rows.lock(membership.organization)
    membership = rows.lock(membership)
    policy.require(actor, permission, membership)
    return membership


def _refuse_role_beyond(actor: Actor, organization: Organization, role: Role) -> None:
    if role.organization_id not in (None, organization.pk):
        raise ValidationError({"role": _("This organization has no such role.")})
    refuse_beyond(actor, organization, {scope.code for scope in role.scopes.all()})


def _refuse_ownerless(membership: Membership) -> None:
    reason = reason_to_keep_owner(membership)
    if reason:
        raise ValidationError(reason)


def _describe(membership: Membership) -> dict[str, Any]:
    return {
        "user": str(membership.user),
        "role": str(membership.role),
        "is_owner": membership.is_owner,
    }
