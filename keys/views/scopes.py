"""Scopes that an organization defines for its own services."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from keys import policy, services
from keys.forms.access import ScopeForm
from keys.models import Scope
from keys.roles import Permission
from keys.views.base import OrganizationRequest, in_organization, render_page
from keys.views.deleting import confirm_deletion


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def scope_create(request: OrganizationRequest) -> HttpResponse:
    """Define a scope."""
    policy.require(request.user, Permission.ADD_SCOPE, request.organization)
    form = ScopeForm(request.POST or None)
    if form.is_valid():
        try:
            scope = services.create_scope(
                actor=request.user, organization=request.organization, **form.cleaned_data
            )
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            messages.success(request, _("Keys and roles may now be given %(code)s.") % vars(scope))
            return redirect("keys:roles", request.organization.slug)
    return render_page(request, "keys/scope_form.html", {"form": form})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def scope_edit(request: OrganizationRequest, scope_id: int) -> HttpResponse:
    """Change what is said of a scope."""
    scope = _get_scope(request, scope_id)
    policy.require(request.user, Permission.CHANGE_SCOPE, scope)
    form = ScopeForm(request.POST or None, scope=scope)
    if form.is_valid():
        try:
            services.update_scope(actor=request.user, scope=scope, **form.cleaned_data)
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            messages.success(request, _("The description of %(code)s was saved.") % vars(scope))
            return redirect("keys:roles", request.organization.slug)
    return render_page(request, "keys/scope_form.html", {"form": form, "scope": scope})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def scope_delete(request: OrganizationRequest, scope_id: int) -> HttpResponse:
    """Delete a scope that nothing holds."""
    scope = _get_scope(request, scope_id)
    policy.require(request.user, Permission.DELETE_SCOPE, scope)
    return confirm_deletion(
        request,
        "keys/scope_delete.html",
        {"scope": scope, "reason": services.reason_to_keep_scope(scope)},
        delete=lambda: services.delete_scope(actor=request.user, scope=scope),
        done=_("The scope %(code)s is deleted.") % vars(scope),
        back=reverse("keys:roles", args=[request.organization.slug]),
    )


def _get_scope(request: OrganizationRequest, scope_id: int) -> Scope:
    rows = policy.visible(request.user, Scope.objects.available_to(request.organization))
    return get_object_or_404(rows.select_related("organization"), pk=scope_id)
