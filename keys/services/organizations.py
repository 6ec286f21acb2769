"""Set up and change organizations: workspaces, scopes, roles and server addresses."""

from collections.abc import Iterable
from typing import Any, cast

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Max, ProtectedError
from django.utils import timezone
from django.utils.translation import gettext as _

from keys import networks, policy, roles
from keys.models import (
    Membership,
    Organization,
    Role,
    Scope,
    ServerAddress,
    User,
    Workspace,
)
from keys.models.organizations import validate_custom_scope
from keys.policy import OPERATOR, Actor
from keys.roles import Permission
from keys.services import audit
from keys.services.grants import refuse_beyond
from keys.services.validation import save, validate

DEFAULT_WORKSPACE_NAME = "Default"


def create_organization(*, actor: Actor, name: str, slug: str, owner: User) -> Organization:
    """Create an organization with its default workspace and its first owner, an admin.

    For staff with every right and the operator. Raises PermissionDenied, ValidationError.
    """
    if not (actor is OPERATOR or (isinstance(actor, User) and actor.is_superuser)):
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
    return _update(
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


def create_workspace(*, actor: Actor, organization: Organization, name: str) -> Workspace:
    """Add a workspace. Raises PermissionDenied, ValidationError by field."""
    return _create(
        actor,
        organization,
        Permission.ADD_WORKSPACE,
        Workspace(organization=organization, name=name),
    )


def update_workspace(*, actor: Actor, workspace: Workspace, **changes: Any) -> Workspace:
    """Rename a workspace. Raises PermissionDenied, ValidationError by field."""
    return _update(
        actor, workspace, workspace.organization, Permission.CHANGE_WORKSPACE, changes, {"name"}
    )


def delete_workspace(*, actor: Actor, workspace: Workspace) -> None:
    """Delete a workspace that never held a key and is not the default.

    Raises PermissionDenied; ValidationError when it is one of these.
    """
    if workspace.is_default:
        policy.require(actor, Permission.DELETE_WORKSPACE, workspace)
        raise ValidationError(_("The default workspace cannot be deleted."))
    _delete(
        actor,
        workspace,
        Permission.DELETE_WORKSPACE,
        _("Keys are or were in this workspace; it cannot be deleted."),
    )


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
    return _create(actor, organization, Permission.ADD_SCOPE, scope)


def update_scope(*, actor: Actor, scope: Scope, **changes: Any) -> Scope:
    """Change a scope's `description`; its code is what services ask for and stays.

    Raises PermissionDenied, ValidationError by field.
    """
    return _update(
        actor, scope, scope.organization, Permission.CHANGE_SCOPE, changes, {"description"}
    )


def delete_scope(*, actor: Actor, scope: Scope) -> None:
    """Delete a scope of the organization that no live key and no role holds.

    Raises PermissionDenied; ValidationError when something holds it.
    """
    policy.require(actor, Permission.DELETE_SCOPE, scope)
    if scope.roles.exists() or scope.api_keys.filter(revoked_at=None).exists():
        raise ValidationError(_("Keys or roles hold this scope; take it off them first."))
    _delete(actor, scope, Permission.DELETE_SCOPE, "")


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
    rows = _own_scopes(actor, organization, scopes)
    if number is None:
        highest = organization.roles.aggregate(highest=Max("number"))["highest"] or 0
        number = max(highest + 1, roles.FIRST_CUSTOM_ROLE_NUMBER)
    role = Role(organization=organization, name=name, number=number, description=description)
    validate(role)
    with transaction.atomic():
        save(role)
        role.scopes.set(rows)
        _record_created(actor, role, organization, {"scopes": sorted(row.code for row in rows)})
    return role


def update_role(*, actor: Actor, role: Role, **changes: Any) -> Role:
    """Change a role's `name`, `description` or `scopes`, for all who hold it.

    Raises PermissionDenied, also when the actor lacks a scope that the role would gain.
    """
    policy.require(actor, Permission.CHANGE_ROLE, role)
    scopes = changes.pop("scopes", None)
    with transaction.atomic():
        role = Role.objects.select_for_update().get(pk=role.pk)
        if scopes is not None:
            _change_role_scopes(actor, role, scopes)
        if changes:
            role = _update(
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
    _delete(
        actor,
        role,
        Permission.DELETE_ROLE,
        _("People or keys hold or held this role; it cannot be deleted."),
    )


def add_server_address(
    *, actor: Actor, organization: Organization, network: str, comment: str = ""
) -> ServerAddress:
    """Add an address to the pool of keys that follow the organization's servers.

    Raises PermissionDenied, ValidationError by field.
    """
    policy.require(actor, Permission.CHANGE_ORGANIZATION, organization)
    try:
        canonical = networks.canonical_network(network)
    except ValueError as error:
        raise ValidationError({"network": str(error)}) from None
    row = ServerAddress(organization=organization, network=canonical, comment=comment)
    return _create(actor, organization, Permission.CHANGE_ORGANIZATION, row)


def remove_server_address(*, actor: Actor, server_address: ServerAddress) -> None:
    """Take an address off the organization's pool. Raises PermissionDenied."""
    policy.require(actor, Permission.CHANGE_ORGANIZATION, server_address.organization)
    with transaction.atomic():
        _record_deleted(actor, server_address)
        server_address.delete()


def _change_role_scopes(actor: Actor, role: Role, scopes: Iterable[Scope]) -> None:
    organization = cast(Organization, role.organization)  # nobody may change a built-in role
    before = {scope.code for scope in role.scopes.all()}
    rows = list(scopes)
    _refuse_foreign(organization, rows)
    after = {row.code for row in rows}
    refuse_beyond(actor, organization, after - before)
    role.scopes.set(rows)
    if before != after:
        audit.record(
            actor=actor,
            action="role.updated",
            obj=role,
            organization=role.organization,
            changes={"scopes": [sorted(before), sorted(after)]},
        )


def _own_scopes(actor: Actor, organization: Organization, scopes: Iterable[Scope]) -> list[Scope]:
    rows = list(scopes)
    _refuse_foreign(organization, rows)
    refuse_beyond(actor, organization, {row.code for row in rows})
    return rows


def _refuse_foreign(organization: Organization, scopes: Iterable[Scope]) -> None:
    if any(scope.organization_id not in (None, organization.pk) for scope in scopes):
        raise ValidationError({"scopes": _("This organization has no such scope.")})


def _set_suspension(actor: Actor, organization: Organization, at, action: str) -> Organization:
    policy.require(actor, Permission.LOCK_APIKEY, organization)
    with transaction.atomic():
        organization = Organization.objects.select_for_update().get(pk=organization.pk)
        organization.suspended_at = at
        organization.save(update_fields=["suspended_at"])
        audit.record(actor=actor, action=action, obj=organization, organization=organization)
    return organization


def _create(actor: Actor, organization: Organization, permission: Permission, row):
    policy.require(actor, permission, organization)
    validate(row)
    with transaction.atomic():
        save(row)
        _record_created(actor, row, organization)
    return row


def _update(
    actor: Actor,
    row,
    organization: Organization | None,
    permission: Permission,
    changes: dict[str, Any],
    changeable: set[str],
):
    unknown = changes.keys() - changeable
    if unknown:
        raise TypeError(f"Not changeable: {', '.join(sorted(unknown))}.")
    policy.require(actor, permission, row)
    with transaction.atomic():
        row = type(row)._default_manager.select_for_update().get(pk=row.pk)
        difference = {
            field: [getattr(row, field), value]
            for field, value in changes.items()
            if getattr(row, field) != value
        }
        for field, value in changes.items():
            setattr(row, field, value)
        validate(row)
        if difference:
            save(row, update_fields=list(difference))
            audit.record(
                actor=actor,
                action=f"{row._meta.model_name}.updated",
                obj=row,
                organization=organization,
                changes=difference,
            )
    return row


def _delete(actor: Actor, row, permission: Permission, when_used: str) -> None:
    policy.require(actor, permission, row)
    try:
        with transaction.atomic():
            _record_deleted(actor, row)
            row.delete()
    except ProtectedError:
        raise ValidationError(when_used) from None


def _record_created(
    actor: Actor, row, organization: Organization, more: dict[str, Any] | None = None
) -> None:
    changes = {
        field.name: getattr(row, field.name)
        for field in row._meta.concrete_fields
        if field.name not in ("id", "organization", "created_at")
    }
    audit.record(
        actor=actor,
        action=f"{row._meta.model_name}.created",
        obj=row,
        organization=organization,
        changes={**changes, **(more or {})},
    )


def _record_deleted(actor: Actor, row) -> None:
    audit.record(
        actor=actor,
        action=f"{row._meta.model_name}.deleted",
        obj=row,
        organization=row.organization,
    )
