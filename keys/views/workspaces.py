"""Workspaces: the parts of an organization in which its keys are grouped."""

from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import OuterRef
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from keys import policy, services
from keys.forms.organizations import WorkspaceForm
from keys.models import Workspace
from keys.models.counting import BoundedCount
from keys.roles import Permission
from keys.views.base import OrganizationRequest, in_organization, render_page, visible_keys
from keys.views.deleting import confirm_deletion
from keys.views.numbered import take_numbered

ROWS_SHOWN = 25


@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def workspaces(request: OrganizationRequest) -> HttpResponse:
    """The workspaces, with how many keys are in each; add one."""
    form = WorkspaceForm(request.POST or None)
    if request.method == "POST":
        policy.require(request.user, Permission.ADD_WORKSPACE, request.organization)
    if form.is_valid():
        try:
            services.create_workspace(
                actor=request.user, organization=request.organization, **form.cleaned_data
            )
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            messages.success(request, _("Keys may now be put into “%(name)s”.") % form.cleaned_data)
            return redirect("keys:workspaces", request.organization.slug)
    keys = visible_keys(request).live().filter(workspace=OuterRef("pk"))
    rows = policy.with_permissions(
        request.user,
        policy.visible(request.user, request.organization.workspaces.all()),
        Permission.CHANGE_WORKSPACE,
        Permission.DELETE_WORKSPACE,
    ).annotate(live_keys=BoundedCount(keys))
    page = take_numbered(rows, request.GET.get("page"), ROWS_SHOWN)
    return render_page(request, "keys/workspaces.html", {"form": form, "page": page})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def workspace_edit(request: OrganizationRequest, workspace_id: UUID) -> HttpResponse:
    """Rename a workspace."""
    workspace = _get_workspace(request, workspace_id)
    policy.require(request.user, Permission.CHANGE_WORKSPACE, workspace)
    form = WorkspaceForm(request.POST or None, initial={"name": workspace.name})
    if form.is_valid():
        try:
            services.update_workspace(actor=request.user, workspace=workspace, **form.cleaned_data)
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            messages.success(request, _("It is now called “%(name)s”.") % form.cleaned_data)
            return redirect("keys:workspaces", request.organization.slug)
    context = {"form": form, "workspace": workspace}
    return render_page(request, "keys/workspace_form.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def workspace_delete(request: OrganizationRequest, workspace_id: UUID) -> HttpResponse:
    """Delete a workspace that holds no key."""
    workspace = _get_workspace(request, workspace_id)
    policy.require(request.user, Permission.DELETE_WORKSPACE, workspace)
    return confirm_deletion(
        request,
        "keys/workspace_delete.html",
        {"workspace": workspace, "reason": services.reason_to_keep_workspace(workspace)},
        delete=lambda: services.delete_workspace(actor=request.user, workspace=workspace),
        done=_("The workspace “%(name)s” is deleted.") % {"name": workspace.name},
        back=reverse("keys:workspaces", args=[request.organization.slug]),
    )


def _get_workspace(request: OrganizationRequest, workspace_id: UUID) -> Workspace:
    rows = policy.visible(request.user, request.organization.workspaces.all())
    return get_object_or_404(rows.select_related("organization"), pk=workspace_id)
