"""The people of an organization: who they are, in which role, and until when."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import OuterRef, Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from keys import effects, policy, services
from keys.forms.people import AddMemberForm, MemberFinder, MemberForm
from keys.models import Membership
from keys.models.counting import BoundedCount
from keys.roles import Permission
from keys.views.base import (
    OrganizationRequest,
    in_organization,
    query_without,
    render_page,
    visible_keys,
)
from keys.views.deleting import confirm_deletion
from keys.views.numbered import take_numbered

ROWS_SHOWN = 25


@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def members(request: OrganizationRequest) -> HttpResponse:
    """Who belongs to the organization; add somebody who has an account."""
    if request.method == "POST":
        policy.require(request.user, Permission.ADD_MEMBERSHIP, request.organization)
    form = AddMemberForm(
        request.POST or None, actor=request.user, organization=request.organization
    )
    if form.is_valid():
        try:
            added = services.add_member(
                actor=request.user, organization=request.organization, **form.values()
            )
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            messages.success(
                request,
                _("%(who)s is now a member, as %(role)s.")
                % {"who": added.user.display_name, "role": added.role.name},
            )
            return redirect("keys:members", request.organization.slug)
    finder = MemberFinder(request.GET)
    search = finder.cleaned_data["search"] if finder.is_valid() else ""
    context = {
        "form": form,
        "finder": finder,
        "search": search,
        "query": query_without(request, without=("page",)),
        "page": take_numbered(_listed(request, search), request.GET.get("page"), ROWS_SHOWN),
    }
    return render_page(request, "keys/members.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def member_edit(request: OrganizationRequest, member_id: int) -> HttpResponse:
    """Change a member's role, having said what it takes and gives, or make them an owner."""
    membership = _get_member(request, member_id)
    policy.require(request.user, Permission.CHANGE_MEMBERSHIP, membership)
    form = MemberForm(request.POST or None, actor=request.user, membership=membership)
    if form.is_valid() and _is_agreed(request, form, membership):
        try:
            services.update_member(actor=request.user, membership=membership, **form.changes())
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            messages.success(
                request,
                _("What %(who)s is here was saved.") % {"who": membership.user.display_name},
            )
            return _to_members(request, membership)
    context = {"form": form, "membership": membership}
    return render_page(request, "keys/member_form.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def member_remove(request: OrganizationRequest, member_id: int) -> HttpResponse:
    """End somebody's membership, having said which keys stop."""
    membership = _get_member(request, member_id)
    policy.require(request.user, Permission.DELETE_MEMBERSHIP, membership)
    return _confirm_end(
        request,
        membership,
        delete=lambda: services.remove_member(actor=request.user, membership=membership),
        done=_("%(who)s is no longer a member.") % {"who": membership.user.display_name},
    )


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def leave(request: OrganizationRequest) -> HttpResponse:
    """End one's own membership, having said which keys stop."""
    policy.require(request.user, Permission.LEAVE_ORGANIZATION, request.organization)
    membership = _memberships(request).get(user=request.user)
    return _confirm_end(
        request,
        membership,
        delete=lambda: services.leave_organization(
            actor=request.user, organization=request.organization
        ),
        done=_("You left %(name)s.") % {"name": request.organization.name},
    )


def _memberships(request: OrganizationRequest) -> QuerySet[Membership]:
    rows = policy.visible(request.user, request.organization.memberships.all())
    return rows.select_related("user", "role", "organization")


def _listed(request: OrganizationRequest, search: str) -> QuerySet[Membership]:
    rows = policy.with_permissions(
        request.user,
        _memberships(request),
        Permission.CHANGE_MEMBERSHIP,
        Permission.DELETE_MEMBERSHIP,
    )
    for word in search.split():
        rows = rows.filter(
            Q(user__email__icontains=word)
            | Q(user__first_name__icontains=word)
            | Q(user__last_name__icontains=word)
        )
    keys = visible_keys(request).live().filter(owner=OuterRef("user"))
    return rows.annotate(live_keys=BoundedCount(keys)).order_by("-is_owner", "user__email")


def _get_member(request: OrganizationRequest, member_id: int) -> Membership:
    rows = _memberships(request).prefetch_related("role__scopes")
    return get_object_or_404(rows, pk=member_id)


def _is_agreed(request: OrganizationRequest, form: MemberForm, membership: Membership) -> bool:
    role = form.cleaned_data["role"]
    if role is None or role == membership.role:
        return True
    change = effects.of_members_role(
        actor=request.user, membership=membership, role=role, now=timezone.now()
    )
    return form.is_agreed(change, "role")


def _confirm_end(request: OrganizationRequest, membership: Membership, **deleting) -> HttpResponse:
    context = {
        "membership": membership,
        "is_self": membership.user == request.user,
        "keys": effects.of_membership_end(
            actor=request.user, organization=request.organization, user=membership.user
        ),
        "reason": services.reason_to_keep_owner(membership),
    }
    return confirm_deletion(
        request,
        "keys/member_remove.html",
        context,
        back=reverse("keys:members", args=[request.organization.slug]),
        then=reverse("keys:home") if membership.user == request.user else "",
        **deleting,
    )


def _to_members(request: OrganizationRequest, membership: Membership) -> HttpResponse:
    if membership.user == request.user:
        # With another role one may not see this organization any more.
        return redirect("keys:home")
    return redirect("keys:members", request.organization.slug)
