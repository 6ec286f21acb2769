"""The people of an organization: who they are, in which role, and until when."""

from collections.abc import Callable
from functools import wraps

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import OuterRef, Q, QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from django_htmx.http import HttpResponseClientRedirect

from keys import effects, policy, services
from keys.forms.people import InviteForm, MemberFinder, MemberForm
from keys.models import APIKey, Invitation, Membership
from keys.models.counting import BoundedCount
from keys.roles import Permission
from keys.services.enforcing import ApprovalRequiredError
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
    """Who belongs to the organization and who is invited; invite people by their addresses."""
    if request.method == "POST":
        policy.require(request.user, Permission.ADD_MEMBERSHIP, request.organization)
    form = InviteForm(request.POST or None, actor=request.user, organization=request.organization)
    if form.is_valid():
        try:
            invited = services.invite(
                actor=request.user, organization=request.organization, **form.values()
            )
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            messages.success(
                request,
                ngettext(
                    "%(count)d invitation is on its way.",
                    "%(count)d invitations are on their way.",
                    len(invited),
                )
                % {"count": len(invited)},
            )
            return redirect("keys:members", request.organization.slug)
    finder = MemberFinder(request.GET)
    search = finder.cleaned_data["search"] if finder.is_valid() else ""
    context = {
        "form": form,
        "finder": finder,
        "search": search,
        "query": query_without(request, without=("page",)),
        "invitations": _invitations(request),
        "now": timezone.now(),
        "page": take_numbered(_listed(request, search), request.GET.get("page"), ROWS_SHOWN),
    }
    return render_page(request, "keys/members.html", context)


def of_member(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Hand a view of an organization the membership of its path, or answer 404.

    Where the membership ended, in another tab or by somebody else, that is said instead.
    """

    @wraps(view)
    def wrapper(request: OrganizationRequest, member_id: int) -> HttpResponse:
        rows = _memberships(request).prefetch_related("role__scopes")
        try:
            return view(request, get_object_or_404(rows, pk=member_id))
        except (Http404, Membership.DoesNotExist):
            return _say_gone(request, member_id)

    return wrapper


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
@of_member
def member_edit(request: OrganizationRequest, membership: Membership) -> HttpResponse:
    """Change a member's role, having said what it takes and gives, or make them an owner."""
    policy.require(request.user, Permission.CHANGE_MEMBERSHIP, membership)
    form = MemberForm(request.POST or None, actor=request.user, membership=membership)
    if form.is_valid() and _is_agreed(request, form, membership):
        try:
            services.update_member(actor=request.user, membership=membership, **form.changes())
        except ApprovalRequiredError:
            role = form.changes()["role"]
            return redirect("keys:role-ask", request.organization.slug, membership.pk, role.pk)
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            messages.success(
                request,
                _("What %(who)s is here was saved.") % {"who": membership.user.name_and_address},
            )
            return _to_members(request, membership)
    context = {"form": form, "membership": membership}
    return render_page(request, "keys/member_form.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
@of_member
def member_remove(request: OrganizationRequest, membership: Membership) -> HttpResponse:
    """End somebody's membership, having said which keys stop."""
    policy.require(request.user, Permission.DELETE_MEMBERSHIP, membership)
    return _confirm_end(
        request,
        membership,
        delete=lambda: services.remove_member(actor=request.user, membership=membership),
        done=_("%(who)s is no longer a member.") % {"who": membership.user.name_and_address},
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


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
@of_member
def member_transfer(request: OrganizationRequest, membership: Membership) -> HttpResponse:
    """Hand one's ownership to another member, having said what that means."""
    policy.require(request.user, Permission.OWN_ORGANIZATION, request.organization)
    return confirm_deletion(
        request,
        "keys/member_transfer.html",
        {"membership": membership, "is_self": membership.user == request.user},
        delete=lambda: services.transfer_ownership(actor=request.user, membership=membership),
        done=_("%(who)s is an owner now; you are none any more.")
        % {"who": membership.user.name_and_address},
        back=reverse("keys:members", args=[request.organization.slug]),
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


def _invitations(request: OrganizationRequest) -> QuerySet[Invitation]:
    rows = policy.visible(request.user, request.organization.invitations.unanswered())
    return rows.select_related("role", "invited_by", "invited_by_key")


def _say_gone(request: OrganizationRequest, member_id: int) -> HttpResponse:
    """Say of whose membership this was that they are gone, to whoever may read that; else 404."""
    events = policy.visible(request.user, request.organization.audit_events.all())
    ends = events.filter(object_type="membership", action="membership.deleted")
    event = ends.filter(object_id=str(member_id)).first()
    who = event.changes["user"] if event else ""
    if event is None or _memberships(request).filter(user__email=who).exists():
        raise Http404
    messages.info(request, _("%(who)s is no longer a member.") % {"who": who})
    url = reverse("keys:members", args=[request.organization.slug])
    return HttpResponseClientRedirect(url) if request.htmx else redirect(url)


def _is_agreed(request: OrganizationRequest, form: MemberForm, membership: Membership) -> bool:
    role = form.cleaned_data["role"]
    if role is None or role == membership.role:
        return True
    change = effects.of_members_role(
        actor=request.user, membership=membership, role=role, now=timezone.now()
    )
    return form.is_agreed(change, "role")


def _confirm_end(
    request: OrganizationRequest,
    membership: Membership,
    *,
    delete: Callable[[], list[APIKey]],
    done: str,
) -> HttpResponse:
    context = {
        "membership": membership,
        "is_self": membership.user == request.user,
        "keys": effects.of_membership_end(
            actor=request.user, organization=request.organization, user=membership.user
        ),
        "asked": _count_asked(request, membership),
        "reason": services.reason_to_keep_owner(membership),
    }
    return confirm_deletion(
        request,
        "keys/member_remove.html",
        context,
        back=reverse("keys:members", args=[request.organization.slug]),
        then=reverse("keys:home") if membership.user == request.user else "",
        delete=lambda: _tell_stopped(request, delete()),
        done=done,
    )


def _count_asked(request: OrganizationRequest, membership: Membership) -> int:
    """Return how much the member asked for that waits, or was approved and not used."""
    waiting = request.organization.approval_requests.open_at(timezone.now())
    return policy.visible(request.user, waiting.filter(requester=membership.user)).count()


def _tell_stopped(request: OrganizationRequest, stopped: list[APIKey]) -> None:
    """Say which keys stopped by what was just done: the first, and how many there are besides."""
    if not stopped:
        return
    names = ", ".join(key.name for key in stopped[: effects.NAMES_SHOWN])
    more = len(stopped) - effects.NAMES_SHOWN
    if more > 0:
        text = _("Stopped: %(names)s and %(more)d more.") % {"names": names, "more": more}
    else:
        text = _("Stopped: %(names)s.") % {"names": names}
    messages.warning(request, _with_way_out(request, text))


def _with_way_out(request: OrganizationRequest, text: str) -> str:
    """Add to what is said of stopped keys where they can be handed over, for whoever may."""
    if not policy.allows(request.user, Permission.ASSIGN_APIKEY, request.organization):
        return text
    url = reverse("keys:hygiene-check", args=[request.organization.slug, "owner_gone"])
    return format_html('{} <a href="{}">{}</a>', text, url, _("Hand over what is needed"))


def _to_members(request: OrganizationRequest, membership: Membership) -> HttpResponse:
    if membership.user == request.user:
        # With another role one may not see this organization any more.
        return redirect("keys:home")
    return redirect("keys:members", request.organization.slug)
