"""Organizations themselves: set up, changed, suspended and resumed."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from keys import policy, roles
from keys.models import Membership, Organization, Role, User, Workspace
from keys.policy import Actor
from keys.roles import Permission
from keys.services import audit, rows
from keys.services.validation import save, validate

DEFAULT_WORKSPACE_NAME = "Default"


def create_organization(*, actor: Actor, name: str, slug: str, owner: User) -> Organization:
    """Create an organization with its default workspace and its first owner, an admin.

    For staff with every right and the operator. Raises PermissionDenied, ValidationError.
    """
    if not policy.has_every_right(actor):
        raise PermissionDenied(_("Only staff create organizations."))
    organization = Organization(name=name, slug=slug)
    validate(organization)
    with transaction.atomic():
        save(organization)
        Workspace.objects.create(
            organization=organization, name=DEFAULT_WORKSPACE_NAME, is_default=True
        )
        Membership.objects.create(
            organization=organization,
            user=owner,
            role=Role.objects.get(organization=None, number=roles.ADMIN.number),
            is_owner=True,
        )
        audit.record(
            actor=actor,
            action="organization.created",
            obj=organization,
            organization=organization,
            changes={"name": name, "slug": slug, "owner": str(owner)},
        )
    return organization


def update_organization(
    *, actor: Actor, organization: Organization, **changes: Any
) -> Organization:
    """Change an organization's `name`, `slug` or `rotation_days`.

    The last is how old a secret gets before people are told to rotate it; None: any age.
    Raises PermissionDenied, ValidationError by field.
    """
    return rows.update(
        actor,
        organization,
        organization,
        Permission.CHANGE_ORGANIZATION,
        changes,
        {"name", "slug", "rotation_days"},
    )


def suspend_organization(*, actor: Actor, organization: Organization) -> Organization:
    """Stop every key of an organization at once. For staff. Raises PermissionDenied."""
    return _set_suspension(actor, organization, timezone.now(), "organization.suspended")


def resume_organization(*, actor: Actor, organization: Organization) -> Organization:
    """Let the keys of a suspended organization work again. For staff. Raises PermissionDenied."""
    return _set_suspension(actor, organization, None, "organization.resumed")


def _set_suspension(actor: Actor, organization: Organization, at, action: str) -> Organization:
    policy.require(actor, Permission.LOCK_APIKEY, organization)
    with transaction.atomic():
        organization = rows.lock(organization)
        organization.suspended_at = at
        organization.save(update_fields=["suspended_at"])
        audit.record(actor=actor, action=action, obj=organization, organization=organization)
    return organization
