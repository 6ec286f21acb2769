"""Who belongs to an organization, in which role."""

from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from keys import generations, policy
from keys.models import APIKey, ApprovalRequest, Membership, Organization, Role, User
from keys.models.approvals import ApprovalStatus
from keys.policy import Actor
from keys.roles import Permission
from keys.services import audit, enforcing, rows
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
    with transaction.atomic():
        role = hold_role(role)
        refuse_membership_beyond(actor, organization, role, is_owner=is_owner)
        return join(actor=actor, organization=organization, user=user, role=role, is_owner=is_owner)


def hold_role(role: Role, *others: Role) -> Role:
    """Keep a role until the transaction ends, and return it as it now is.

    What it gives is asked of that: somebody may have been changing it. `others` are kept too.
    Raises ValidationError when one is gone already.
    """
    rows.hold("role", [role, *others])
    return Role.objects.get(pk=role.pk)


def refuse_membership_beyond(
    actor: Actor, organization: Organization, role: Role, *, is_owner: bool
) -> None:
    """Raise unless the actor may make somebody a member in this role, or an owner.

    PermissionDenied; ValidationError for a role of another organization, and for one that it
    takes two people to give.
    """
    policy.require(actor, Permission.ADD_MEMBERSHIP, organization)
    _refuse_role_beyond(actor, organization, role)
    enforcing.refuse_joining_with(actor, organization, role)
    if is_owner:
        policy.require(actor, Permission.OWN_ORGANIZATION, organization)


def join(
    *,
    actor: Actor,
    organization: Organization,
    user: User,
    role: Role,
    is_owner: bool,
    **more: str,
) -> Membership:
    """Write a membership that somebody was allowed to give. Inside of a transaction.

    `more` is what the audit trail says beside the membership.
    Raises ValidationError by field.
    """
    membership = Membership(organization=organization, user=user, role=role, is_owner=is_owner)
    validate(membership)
    generations.note_organization(organization.pk)
    save(membership)
    audit.record(
        actor=actor,
        action="membership.created",
        obj=membership,
        organization=organization,
        changes={**_describe(membership), **more},
    )
    return membership


def update_member(
    *,
    actor: Actor,
    membership: Membership,
    approval: ApprovalRequest | None = None,
    **changes: Any,
) -> Membership:
    """Change a member's `role` or `is_owner`.

    Raises PermissionDenied; ApprovalRequiredError where it takes an `approval`; ValidationError
    when the last owner would be lost.
    """
    unknown = changes.keys() - {"role", "is_owner"}
    if unknown:
        raise TypeError(f"A membership has no changeable {', '.join(sorted(unknown))}.")
    with transaction.atomic():
        membership = _open(actor, membership, Permission.CHANGE_MEMBERSHIP)
        before = _describe(membership)
        if "role" in changes:
            role = hold_role(changes["role"], membership.role)
            _refuse_role_beyond(actor, membership.organization, role)
            enforcing.require_second_person(actor, membership, role, approval=approval)
            membership.role = role
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


def transfer_ownership(*, actor: User, membership: Membership) -> Membership:
    """Make another member the owner in one's own stead; the roles of both stay.

    Raises PermissionDenied for who owns nothing there; ValidationError when it is oneself or
    somebody who cannot sign in.
    """
    with transaction.atomic():
        own = _open(actor, membership, Permission.CHANGE_MEMBERSHIP).organization.memberships
        mine = own.filter(user=actor, is_owner=True).first()
        if mine is None:
            raise PermissionDenied(_("You own nothing here that you could hand over."))
        if mine == membership or not membership.user.is_active:
            raise ValidationError(_("Choose another member who can sign in."))
        given = update_member(actor=actor, membership=membership, is_owner=True)
        update_member(actor=actor, membership=mine, is_owner=False)
    return given


def remove_member(*, actor: Actor, membership: Membership) -> list[APIKey]:
    """End a membership; return the person's keys that stopped by it, at their next use.

    They are disabled too: whoever is added again does not have them back by that. What the
    person asked for, or was approved and not used, is withdrawn. Raises
    PermissionDenied; ValidationError when the last owner would be lost.
    """
    with transaction.atomic():
        asked = _hold_requests(membership.organization, membership.user)
        return _end(actor, _open(actor, membership, Permission.DELETE_MEMBERSHIP), asked)


def leave_organization(*, actor: User, organization: Organization) -> list[APIKey]:
    """End one's own membership; return one's keys that stopped by it, as `remove_member`.

    Raises PermissionDenied for who is no member; ValidationError for the last owner.
    """
    policy.require(actor, Permission.LEAVE_ORGANIZATION, organization)
    with transaction.atomic():
        asked = _hold_requests(organization, actor)
        rows.lock(organization)
        return _end(actor, organization.memberships.select_for_update().get(user=actor), asked)


def reason_to_keep_owner(membership: Membership) -> str:
    """Return why a membership can neither end nor lose its ownership now; empty when it can."""
    others = membership.organization.memberships.filter(is_owner=True).exclude(pk=membership.pk)
    if membership.is_owner and not others.exists():
        return _("An organization keeps at least one owner; make somebody else an owner first.")
    return ""


def _end(actor: Actor, membership: Membership, asked: list[ApprovalRequest]) -> list[APIKey]:
    _refuse_ownerless(membership)
    stopped = _stop_keys(actor, membership)
    _withdraw_requests(actor, membership.organization, asked)
    audit.record(
        actor=actor,
        action="membership.deleted",
        obj=membership,
        organization=membership.organization,
        changes=_describe(membership),
    )
    membership.delete()
    return stopped


def _stop_keys(actor: Actor, membership: Membership) -> list[APIKey]:
    """Disable the keys that a person owns in an organization, and return them.

    By a column that can be undone key by key, by whoever may: that is the decision which being
    a member again is not. It is the organization's act, so a staff lock stands in no way.
    """
    keys = membership.organization.api_keys.live().filter(owner=membership.user)
    # Disabled ones too, and only then looked at: somebody may be enabling one at this moment.
    held = keys.select_for_update(no_key=True).order_by("pk")
    stopped = [key for key in held if not key.disabled]
    for key in stopped:
        generations.note_key(key.pk)
        key.disabled = True
        key.save(update_fields=["disabled", "updated_at"])
        audit.record(
            actor=actor,
            action="apikey.disabled",
            obj=key,
            organization=membership.organization,
            changes={"disabled": [False, True], "reason": "its owner left"},
        )
    return stopped


def _hold_requests(organization: Organization, person: User) -> list[ApprovalRequest]:
    """Lock what a person asked for and nobody can use once they are gone, and return it.

    Before the organization is locked: whoever approves has the request first, then that.
    """
    asked = person.approval_requests.open_at(timezone.now()).filter(organization=organization)
    return list(asked.select_for_update(no_key=True).order_by("pk"))


def _withdraw_requests(
    actor: Actor, organization: Organization, asked: list[ApprovalRequest]
) -> None:
    """End requests whose requester is gone; being a member again brings none back."""
    for request in asked:
        request.status = ApprovalStatus.WITHDRAWN
        request.save(update_fields=["status"])
        audit.record(
            actor=actor,
            action="approval.withdrawn",
            obj=request,
            organization=organization,
            changes={"reason": "whoever asked left"},
        )


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
