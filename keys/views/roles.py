"""Roles and scopes of an organization, and what the built-in ones allow."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import OuterRef, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from keys import effects, policy, services
from keys.forms.access import RoleForm
from keys.models import Membership, Role, Scope
from keys.models.counting import BoundedCount
from keys.roles import Permission
from keys.views.base import OrganizationRequest, in_organization, render_page, visible_keys
from keys.views.deleting import confirm_deletion
from keys.views.numbered import take_numbered

ROWS_SHOWN = 25


@require_safe
@in_organization
def roles(request: OrganizationRequest) -> HttpResponse:
    """Who holds which role, which scopes there are, and what each of the built-in allows."""
    scopes = Scope.objects.filter(organization=request.organization).order_by("code")
    context = {
        "roles": _with_counts(request, _visible_roles(request)).prefetch_related("scopes"),
        "scopes": take_numbered(
            _scopes_with_counts(request, scopes), request.GET.get("page"), ROWS_SHOWN
        ),
    }
    return render_page(request, "keys/roles.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def role_create(request: OrganizationRequest) -> HttpResponse:
    """Define a role."""
    policy.require(request.user, Permission.ADD_ROLE, request.organization)
    form = RoleForm(request.POST or None, actor=request.user, organization=request.organization)
    if form.is_valid():
        try:
            role = services.create_role(
                actor=request.user, organization=request.organization, **form.values()
            )
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            messages.success(
                request,
                _("The role “%(name)s” has the number %(number)d.")
                % {"name": role.name, "number": role.number},
            )
            return redirect("keys:roles", request.organization.slug)
    return render_page(request, "keys/role_form.html", {"form": form})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def role_edit(request: OrganizationRequest, role_id: int) -> HttpResponse:
    """Change a role, having said whom that changes."""
    role = _get_role(request, role_id)
    policy.require(request.user, Permission.CHANGE_ROLE, role)
    form = RoleForm(
        request.POST or None, actor=request.user, organization=request.organization, role=role
    )
    if form.is_valid() and form.is_agreed(_change_of(request, role, form), "scopes"):
        try:
            services.update_role(actor=request.user, role=role, **form.values())
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            messages.success(
                request, _("The role “%(name)s” was saved.") % {"name": form.values()["name"]}
            )
            return redirect("keys:roles", request.organization.slug)
    return render_page(request, "keys/role_form.html", {"form": form, "role": role})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def role_delete(request: OrganizationRequest, role_id: int) -> HttpResponse:
    """Delete a role that nobody holds."""
    role = _get_role(request, role_id)
    policy.require(request.user, Permission.DELETE_ROLE, role)
    return confirm_deletion(
        request,
        "keys/role_delete.html",
        {"role": role, "reason": services.reason_to_keep_role(role)},
        delete=lambda: services.delete_role(actor=request.user, role=role),
        done=_("The role “%(name)s” is deleted.") % {"name": role.name},
        back=reverse("keys:roles", args=[request.organization.slug]),
    )


def _visible_roles(request: OrganizationRequest) -> QuerySet[Role]:
    return policy.visible(request.user, Role.objects.available_to(request.organization))


def _get_role(request: OrganizationRequest, role_id: int) -> Role:
    rows = _with_counts(request, _visible_roles(request)).prefetch_related("scopes")
    return get_object_or_404(rows.select_related("organization"), pk=role_id)


def _with_counts(request: OrganizationRequest, rows: QuerySet[Role]) -> QuerySet[Role]:
    members = Membership.objects.filter(organization=request.organization, role=OuterRef("pk"))
    keys = visible_keys(request).live().filter(role=OuterRef("pk"))
    rows = policy.with_permissions(
        request.user, rows, Permission.CHANGE_ROLE, Permission.DELETE_ROLE
    )
    return rows.annotate(
        people=BoundedCount(policy.visible(request.user, members)), live_keys=BoundedCount(keys)
    )


def _scopes_with_counts(request: OrganizationRequest, rows: QuerySet[Scope]) -> QuerySet[Scope]:
    keys = visible_keys(request).live()
    rows = policy.with_permissions(
        request.user,
        policy.visible(request.user, rows),
        Permission.CHANGE_SCOPE,
        Permission.DELETE_SCOPE,
    )
    return rows.annotate(
        holding_roles=BoundedCount(Role.objects.filter(scopes=OuterRef("pk"))),
        # A key lists scopes or follows a role, never both.
        live_keys=BoundedCount(keys.filter(scopes=OuterRef("pk")))
        + BoundedCount(keys.filter(role__scopes=OuterRef("pk"))),
    )


def _change_of(request: OrganizationRequest, role: Role, form: RoleForm) -> effects.ScopeChange:
    return effects.of_role_scopes(
        actor=request.user, role=role, codes=form.cleaned_data["scopes"], now=timezone.now()
    )
