"""Where a person lands: their organization, and how its keys are doing."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from keys import hygiene, policy, series, services
from keys.figures import remembered
from keys.hygiene import CHECKS
from keys.models import ApprovalRequest, AuditEvent, Organization
from keys.models.approvals import ApprovalStatus
from keys.models.keys import APIKeyQuerySet, Status
from keys.roles import Permission
from keys.series import Range, Slot
from keys.verification import Code
from keys.views.audit import link_objects
from keys.views.base import (
    OrganizationRequest,
    PersonRequest,
    asked_range,
    in_organization,
    is_swap,
    render_page,
    visible_keys,
)

EVENTS_SHOWN = 6
REASONS_SHOWN = 5
REQUESTS_SHOWN = 5


@require_safe
def home(request: PersonRequest) -> HttpResponse:
    """Go to the organization last looked at, else the person's first; say what to do without."""
    mine = policy.visible(request.user, Organization.objects.filter(members=request.user))
    last = request.session.get("organization")
    chosen = mine.filter(slug=last).first() or mine.first()
    if chosen is None:
        invitations = services.find_invitations_of(person=request.user)
        context = {"organizations": [], "invitations": invitations}
        return render(request, "keys/home_empty.html", context)
    return redirect("keys:overview", chosen.slug)


@require_safe
@in_organization
def organization_overview(request: OrganizationRequest) -> HttpResponse:
    """How an organization's keys are doing, as far as the person sees them; htmx gets the use."""
    now = timezone.now()
    keys = visible_keys(request)
    span = asked_range(request, Range.DAY)
    if is_swap(request):
        use = _remembered(request, f"use {span}", lambda: _use(request, keys, span, now), now)
        return render_page(request, "keys/overview_use.html", use)
    figures = _remembered(request, f"home {span}", lambda: _figures(request, keys, span, now), now)
    asked = {
        "waiting": _waiting(request, now),
        "invitations": services.find_invitations_of(person=request.user),
    }
    if not figures["active"] and not keys.exists():
        return render_page(request, "keys/overview_empty.html", asked)
    counts = figures["counts"]
    context = {
        **figures,
        **asked,
        "expiring": counts["expiring"],
        "hints": [(check, counts[name]) for name, check in CHECKS.items() if counts[name]],
        "events": _latest_events(request),
    }
    return render_page(request, "keys/organization_overview.html", context)


def _remembered(
    request: OrganizationRequest, name: str, count: Callable[[], dict[str, Any]], now: datetime
) -> dict[str, Any]:
    return remembered(
        name,
        count,
        keys=visible_keys(request),
        actor=request.user,
        organization=request.organization,
        now=now,
    )


def _figures(
    request: OrganizationRequest, keys: APIKeyQuerySet, span: Range, now: datetime
) -> dict[str, Any]:
    """Return every number of the page."""
    use = _use(request, keys, span, now)
    day = use["slots"] if span is Range.DAY else _slots(request, Range.DAY, now)
    return {
        **use,
        "active": hygiene.count_some(keys.with_status(Status.ACTIVE, now)),
        "counts": hygiene.counts(keys, organization=request.organization, now=now),
        # The hours that the chart of a day shows: the running one, and 23 before it.
        "last_day": series.totals(day),
    }


def _use(
    request: OrganizationRequest, keys: APIKeyQuerySet, span: Range, now: datetime
) -> dict[str, Any]:
    """Return the use of the keys in that time, as charts and rankings."""
    slots = _slots(request, span, now)
    return {
        "span": span,
        "slots": slots,
        "top_keys": series.top_keys(actor=request.user, keys=keys, span=span, now=now),
        "reasons": _top_reasons(slots),
        "counted_at": now,
    }


def _slots(request: OrganizationRequest, span: Range, now: datetime) -> list[Slot]:
    return series.organization_outcomes(
        actor=request.user, organization=request.organization, span=span, now=now
    )


def _top_reasons(slots: Iterable[Slot]) -> list[tuple[Code, int]]:
    """Return why requests were refused most often, and how often."""
    sums: Counter[str] = Counter()
    for slot in slots:
        sums.update(slot.outcomes)
    del sums[Code.VALID]
    return [(Code(code), count) for code, count in sums.most_common(REASONS_SHOWN)]


def _waiting(request: OrganizationRequest, now: datetime) -> list[ApprovalRequest]:
    """Return the requests on which the person decides, and what was approved for them."""
    rows = request.organization.approval_requests.all()
    pending = rows.with_status(ApprovalStatus.PENDING, now)
    mine = rows.with_status(ApprovalStatus.APPROVED, now).filter(requester=request.user)
    both = mine | policy.visible(request.user, pending, Permission.APPROVE_APPROVALREQUEST)
    found = policy.visible(request.user, both)
    return list(found.select_related("requester", "key").order_by("pk")[:REQUESTS_SHOWN])


def _latest_events(request: OrganizationRequest) -> list[AuditEvent]:
    events = policy.visible(request.user, request.organization.audit_events.all())
    latest = list(events.select_related("actor_user")[:EVENTS_SHOWN])
    link_objects(request, latest)
    return latest
