"""Joining an organization by the link of a mail, and what becomes of such mails."""

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from keys import policy, services
from keys.forms.people import NameForm
from keys.models import Invitation
from keys.roles import Permission
from keys.views.base import OrganizationRequest, PersonRequest, in_organization

_SESSION_KEY = "invitation"


def invitation_of(request: HttpRequest) -> Invitation | None:
    """Return the invitation whose link this browser followed, if it can be accepted now."""
    digest = request.session.get(_SESSION_KEY)
    if digest is None:
        return None
    found = Invitation.objects.open_at(timezone.now()).select_related(
        "organization", "role", "invited_by", "invited_by_key"
    )
    return found.filter(token_digest=digest).first()


def remember_invitation(request: HttpRequest, invitation: Invitation) -> None:
    """Keep in the session which invitation this browser may accept.

    Kept is the digest of the link's token, so that neither the session nor a later page's address
    can be used in its stead, and a link that was replaced is dead where it was followed before.
    """
    request.session[_SESSION_KEY] = invitation.token_digest


@never_cache
@login_not_required
@require_http_methods(["GET", "HEAD"])
def invitation_link(request: HttpRequest, token: str) -> HttpResponse:
    """Remember whose link was followed, and go to where the address holds no token.

    Nothing is accepted: mail scanners follow links too.
    """
    invitation = services.find_invitation(token=token)
    if invitation is not None:
        remember_invitation(request, invitation)
        return redirect("keys:invitation")
    request.session.pop(_SESSION_KEY, None)
    if request.user.is_authenticated:
        joined = services.find_joined(token=token, person=request.user)
        if joined is not None:
            messages.info(request, _("You are a member of %(name)s already.") % {"name": joined})
            return redirect("keys:overview", joined.slug)
    return redirect("keys:invitation")


@never_cache
@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest) -> HttpResponse:
    """Who invites to what; accept it, sign in or open an account first."""
    invited = invitation_of(request)
    if invited is None:
        return render(request, "keys/invitation_void.html")
    context = {
        "invitation": invited,
        "reason": services.reason_against_invitation(invited),
        "is_theirs": request.user.is_authenticated
        and services.has_address(request.user, invited.email),
    }
    if context["is_theirs"] and not request.user.get_full_name():
        context["name_form"] = NameForm(request.POST or None)
    if request.method != "POST" or not request.user.is_authenticated:
        return render(request, "keys/invitation.html", context)
    if not _is_named(request, context.get("name_form")):
        return render(request, "keys/invitation.html", context)
    try:
        services.accept_invitation(actor=request.user, invitation=invited)
    except (PermissionDenied, ValidationError) as problem:
        reason = " ".join(getattr(problem, "messages", [str(problem)]))
        return render(request, "keys/invitation.html", {**context, "reason": reason})
    del request.session[_SESSION_KEY]
    messages.success(request, _("Welcome to %(name)s.") % {"name": invited.organization.name})
    return redirect("keys:overview", invited.organization.slug)


@require_POST
def invitation_accept(request: PersonRequest, invitation_id: int) -> HttpResponse:
    """Join by an invitation to an address of one's own, without the link of its mail."""
    invited = _of_ones_own(request, invitation_id)
    if invited is None:
        return _say_over(request)
    try:
        services.accept_invitation(actor=request.user, invitation=invited)
    except (PermissionDenied, ValidationError) as problem:
        return _say_over(request, problem)
    messages.success(request, _("Welcome to %(name)s.") % {"name": invited.organization.name})
    return redirect("keys:overview", invited.organization.slug)


@require_POST
def invitation_decline(request: PersonRequest, invitation_id: int) -> HttpResponse:
    """Answer an invitation to an address of one's own with no."""
    invited = _of_ones_own(request, invitation_id)
    if invited is None:
        return _say_over(request)
    try:
        services.decline_invitation(actor=request.user, invitation=invited)
    except (PermissionDenied, ValidationError) as problem:
        return _say_over(request, problem)
    name = invited.organization.name
    messages.success(request, _("You declined the invitation to %(name)s.") % {"name": name})
    return redirect("keys:home")


def _of_ones_own(request: PersonRequest, invitation_id: int) -> Invitation | None:
    found = services.find_invitations_of(person=request.user)
    return next((each for each in found if each.pk == invitation_id), None)


def _say_over(request: PersonRequest, problem: Exception | None = None) -> HttpResponse:
    reason = " ".join(getattr(problem, "messages", [str(problem)])) if problem else ""
    messages.error(request, reason or _("That invitation does not wait for you any more."))
    return redirect("keys:home")


def _is_named(request: HttpRequest, form: NameForm | None) -> bool:
    """Take the name that was typed, if one was; say whether nothing is wrong with it."""
    if form is None or not form.has_changed():
        return True
    if not form.is_valid():
        return False
    try:
        services.name_oneself(actor=request.user, **form.cleaned_data)
    except ValidationError as problems:
        form.add_problems(problems)
        return False
    return True


@require_POST
@in_organization
def invitation_resend(request: OrganizationRequest, invitation_id: int) -> HttpResponse:
    """Send the mail of an invitation again, with a new link."""
    invited = _get(request, invitation_id)
    try:
        services.resend_invitation(actor=request.user, invitation=invited)
    except ValidationError as problems:
        messages.error(request, " ".join(problems.messages))
    else:
        messages.success(
            request, _("%(email)s has a new link; the old one is dead.") % {"email": invited.email}
        )
    return redirect("keys:members", request.organization.slug)


@require_POST
@in_organization
def invitation_revoke(request: OrganizationRequest, invitation_id: int) -> HttpResponse:
    """Take an invitation back."""
    invited = _get(request, invitation_id)
    services.revoke_invitation(actor=request.user, invitation=invited)
    messages.success(
        request, _("The invitation of %(email)s was taken back.") % {"email": invited.email}
    )
    return redirect("keys:members", request.organization.slug)


def _get(request: OrganizationRequest, invitation_id: int) -> Invitation:
    policy.require(request.user, Permission.ADD_MEMBERSHIP, request.organization)
    rows = policy.visible(request.user, request.organization.invitations.unanswered())
    return get_object_or_404(rows.select_related("organization", "role"), pk=invitation_id)
