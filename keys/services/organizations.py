"""Organizations themselves: set up, changed, suspended and resumed."""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from keys import generations, policy, roles
from keys.models import Membership, Organization, Role, User, Workspace
from keys.policy import Actor
from keys.roles import Permission
from keys.services import audit, rows
from keys.services.rate_limits import (
    RateEntry,
    describe_rate_limits,
    replace_rate_limits,
)
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
        generations.note_organization(organization.pk)
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
    """Change an organization's `name`, `slug`, `rotation_days`, `rate_limits`, `limiter_failure`.

    `rotation_days` is how old a secret gets before people are told to rotate it; None: any
    age. `rate_limits`, each {amount, period}, replace those that all its keys share;
    `limiter_failure` is what becomes of rate-limited keys while nothing can count them.
    Raises PermissionDenied, ValidationError by field.
    """
    policy.require(actor, Permission.CHANGE_ORGANIZATION, organization)
    rate_limits = changes.pop("rate_limits", None)
    with transaction.atomic():
        if rate_limits is not None:
            _change_rate_limits(actor, rows.lock(organization), rate_limits)
        return rows.update(
            actor,
            organization,
            organization,
            Permission.CHANGE_ORGANIZATION,
            changes,
            {"name", "slug", "rotation_days", "limiter_failure"},
        )


def suspend_organization(*, actor: Actor, organization: Organization) -> Organization:
    """Stop every key of an organization at once. For staff. Raises PermissionDenied."""
    return _set_suspension(actor, organization, timezone.now(), "organization.suspended")


def resume_organization(*, actor: Actor, organization: Organization) -> Organization:
    """Let the keys of a suspended organization work again. For staff. Raises PermissionDenied."""
    return _set_suspension(actor, organization, None, "organization.resumed")


def _change_rate_limits(
    actor: Actor, organization: Organization, entries: Iterable[RateEntry]
) -> None:
    before = describe_rate_limits(organization)
    replace_rate_limits(organization, entries)
    after = describe_rate_limits(organization)
    if before != after:
        audit.record(
            actor=actor,
            action="organization.updated",
            obj=organization,
            organization=organization,
            changes={"rate_limits": [before, after]},
        )


def _set_suspension(actor: Actor, organization: Organization, at, action: str) -> Organization:
    policy.require(actor, Permission.LOCK_APIKEY, organization)
    with transaction.atomic():
        organization = rows.lock(organization)
        organization.suspended_at = at
        organization.save(update_fields=["suspended_at"])
        audit.record(actor=actor, action=action, obj=organization, organization=organization)
    return organization
