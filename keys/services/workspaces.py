"""Workspaces: the parts of an organization in which its keys are grouped."""

from typing import Any

from django.utils.translation import gettext as _

from keys.models import Organization, Workspace
from keys.policy import Actor
from keys.roles import Permission
from keys.services import rows


def create_workspace(*, actor: Actor, organization: Organization, name: str) -> Workspace:
    """Add a workspace. Raises PermissionDenied, ValidationError by field."""
    return rows.create(
        actor,
        organization,
        Permission.ADD_WORKSPACE,
        Workspace(organization=organization, name=name),
    )


def update_workspace(*, actor: Actor, workspace: Workspace, **changes: Any) -> Workspace:
    """Rename a workspace. Raises PermissionDenied, ValidationError by field."""
    return rows.update(
        actor, workspace, workspace.organization, Permission.CHANGE_WORKSPACE, changes, {"name"}
    )


def delete_workspace(*, actor: Actor, workspace: Workspace) -> None:
    """Delete a workspace that holds no key, not even a revoked one, and is not the default.

    Raises PermissionDenied; ValidationError when it is one of these.
    """
    rows.delete(actor, workspace, Permission.DELETE_WORKSPACE, reason_to_keep_workspace)


def reason_to_keep_workspace(workspace: Workspace) -> str:
    """Return why a workspace cannot be deleted now; empty when it can."""
    if workspace.is_default:
        return _("The default workspace cannot be deleted: keys go there when nothing is said.")
    if workspace.api_keys.filter(revoked_at=None).exists():
        return _("Keys are in this workspace; it cannot be deleted before they are moved.")
    if workspace.api_keys.exists():
        return _("Revoked keys are in this workspace; it cannot be deleted while they are kept.")
    return ""
