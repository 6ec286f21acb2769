"""Requests for approval: the queue, one of them, and the key that comes of it."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from keys import policy, services
from keys.forms.approvals import DecisionForm, ReasonForm
from keys.forms.fields import OnceForm
from keys.models import ApprovalRequest, AuditEvent, Membership, Role
from keys.models.approvals import OPEN_AFTER_APPROVAL, ApprovalStatus
from keys.roles import Permission
from keys.views.asking import ask_instead
from keys.views.base import OrganizationRequest, in_organization, render_page
from keys.views.issuing import already_shown, show_secret
from keys.views.numbered import take_numbered
from keys.views.once import claim
from keys.views.summary import is_preview, render_preview

ROWS_SHOWN = 25


@require_safe
@in_organization
def approvals(request: OrganizationRequest) -> HttpResponse:
    """What waits for an answer or to be used, and what was decided before."""
    now = timezone.now()
    rows = _visible(request)
    waiting = rows.with_status(ApprovalStatus.PENDING, now)
    approved = rows.with_status(ApprovalStatus.APPROVED, now)
    past = rows.exclude(pk__in=waiting.values("pk")).exclude(pk__in=approved.values("pk"))
    context = {
        "waiting": list(waiting.order_by("pk")[:ROWS_SHOWN]),
        "approved": list(approved.order_by("pk")[:ROWS_SHOWN]),
        "page": take_numbered(past, request.GET.get("page"), ROWS_SHOWN),
    }
    return render_page(request, "keys/approvals.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def approval(request: OrganizationRequest, approval_id: int) -> HttpResponse:
    """One request: what is asked for, how it differs from what goes without, and the decision."""
    row = get_object_or_404(_visible(request), pk=approval_id)
    form = DecisionForm(request.POST if request.method == "POST" else None, request=row)
    if request.method == "POST":
        policy.require(request.user, _needed(request), row)
        is_decided = not is_preview(request) and form.is_valid() and _carry_out(request, form, row)
        if is_decided:
            return redirect("keys:approval", request.organization.slug, row.pk)
    context = {
        "approval": row,
        "decides": row.state == ApprovalStatus.PENDING and row.may_approve_approvalrequest,
        "is_open": row.state in (ApprovalStatus.PENDING, ApprovalStatus.APPROVED),
        "open_days": OPEN_AFTER_APPROVAL.days,
        "form": form,
        "issue_form": OnceForm(),
        "history": _history(request, row),
        "withdrawal": _withdrawal(request, row),
    }
    if is_preview(request):
        part = "keys/approval_preview.html"
        return render_preview(request, "keys/approval.html", context, part=part)
    return render_page(request, "keys/approval.html", context)


@never_cache
@require_POST
@in_organization
def approval_issue(request: OrganizationRequest, approval_id: int) -> HttpResponse:
    """Issue the key that was approved; the answer shows its secret, this once."""
    row = get_object_or_404(_visible(request), pk=approval_id)
    policy.require(request.user, Permission.CHANGE_APPROVALREQUEST, row)
    form = OnceForm(request.POST)
    if form.is_valid():
        if not claim(request, form):
            return already_shown(request, form)
        try:
            key = services.issue_approved_key(actor=request.user, request=row)
        except ValidationError as problems:
            messages.error(request, " ".join(problems.messages))
        else:
            return show_secret(request, form, key, is_new=True)
    return redirect("keys:approval", request.organization.slug, row.pk)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def role_ask(request: OrganizationRequest, member_id: int, role_id: int) -> HttpResponse:
    """Ask that a member gets a role which takes two people to give."""
    members = policy.visible(request.user, request.organization.memberships.all())
    membership: Membership = get_object_or_404(members.select_related("user", "role"), pk=member_id)
    role = get_object_or_404(Role.objects.available_to(request.organization), pk=role_id)
    policy.require(request.user, Permission.CHANGE_MEMBERSHIP, membership)
    form = ReasonForm(request.POST or None)
    if form.is_valid():
        asked = ask_instead(request, form, services.request_role, membership=membership, role=role)
        if asked is not None:
            return asked
    context = {"form": form, "membership": membership, "role": role}
    return render_page(request, "keys/approval_role.html", context)


def _visible(request: OrganizationRequest) -> QuerySet[ApprovalRequest]:
    rows = policy.visible(request.user, request.organization.approval_requests.all())
    return policy.with_permissions(
        request.user,
        rows.select_related("requester", "decided_by", "key", "organization"),
        Permission.APPROVE_APPROVALREQUEST,
        Permission.CHANGE_APPROVALREQUEST,
    )


def _needed(request: OrganizationRequest) -> Permission:
    if request.POST.get("action") == "withdraw":
        return Permission.CHANGE_APPROVALREQUEST
    return Permission.APPROVE_APPROVALREQUEST


def _carry_out(request: OrganizationRequest, form: DecisionForm, row: ApprovalRequest) -> bool:
    arguments: dict[str, Any] = {"actor": request.user, "request": row}
    note = form.cleaned_data["note"]
    try:
        match request.POST.get("action"):
            case "approve":
                services.approve_request(**arguments, **form.decision())
                done = _("You approved it; %(who)s is told.")
            case "deny":
                services.deny_request(**arguments, note=note)
                done = _("You denied it; %(who)s is told why.")
            case "withdraw":
                services.withdraw_request(**arguments)
                done = _("The request is withdrawn.")
            case _unknown:
                return False
    except PermissionDenied as refusal:
        # Of whoever asked, or of a scope that the person does not hold.
        form.add_error(None, str(refusal))
        return False
    except ValidationError as problems:
        form.add_problems(problems)
        return False
    messages.success(request, done % {"who": row.requester.name_and_address})
    return True


def _withdrawal(request: OrganizationRequest, row: ApprovalRequest) -> AuditEvent | None:
    """Return by what it was withdrawn, for who may read the trail."""
    if row.status != ApprovalStatus.WITHDRAWN:
        return None
    events = policy.visible(request.user, request.organization.audit_events.all())
    of_it = events.filter(object_type="approvalrequest", object_id=str(row.pk))
    return of_it.filter(action="approval.withdrawn").first()


def _history(request: OrganizationRequest, row: ApprovalRequest) -> dict[str, int]:
    """Return how often the same person asked before, by what became of it."""
    earlier = _visible(request).filter(requester=row.requester, pk__lt=row.pk).order_by()
    return dict(earlier.values_list("status").annotate(Count("pk")))
