"""Where a person lands: their organization, and how its keys are doing."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from keys import policy
from keys.filters import is_confined
from keys.models import KeyUsage, Organization, UsageBucket
from keys.models.keys import APIKeyQuerySet, Status
from keys.views.base import (
    EVENTS_SHOWN,
    OrganizationRequest,
    PersonRequest,
    in_organization,
    render_page,
    visible_keys,
)
from keys.views.usage import DAYS_SHOWN, outcomes_by_day, outcomes_since


@require_safe
def home(request: PersonRequest) -> HttpResponse:
    """Go to the organization last looked at, else the person's first; say what to do without."""
    mine = policy.visible(request.user, Organization.objects.filter(members=request.user))
    last = request.session.get("organization")
    chosen = mine.filter(slug=last).first() or mine.first()
    if chosen is None:
        return render(request, "keys/home_empty.html", {"organizations": []})
    return redirect("keys:overview", chosen.slug)


@require_safe
@in_organization
def organization_overview(request: OrganizationRequest) -> HttpResponse:
    """How an organization's keys are doing, as far as the person sees them."""
    now = timezone.now()
    keys = visible_keys(request)
    buckets = policy.visible(
        request.user, UsageBucket.objects.filter(key__organization=request.organization)
    )
    events = policy.visible(request.user, request.organization.audit_events.all())
    return render_page(
        request,
        "keys/organization_overview.html",
        {
            "active": keys.with_status(Status.ACTIVE, now).count(),
            "expiring": keys.expiring_soon(now).count(),
            "last_day": outcomes_since(buckets, now - timedelta(days=1)),
            "days": outcomes_by_day(buckets, now),
            "hints": _hygiene(keys, now),
            "events": events[:EVENTS_SHOWN],
        },
    )


def _hygiene(keys: APIKeyQuerySet, now: datetime) -> list[dict[str, Any]]:
    """Return what is worth a look, each with how many keys and the filter that lists them."""
    active = keys.with_status(Status.ACTIVE, now)
    month_ago = now - timedelta(days=DAYS_SHOWN)
    idle = KeyUsage.objects.filter(key=OuterRef("pk"), last_used_at__gt=month_ago)
    hints = [
        {
            "count": keys.expiring_soon(now).count(),
            "text": _("expire within 14 days"),
            "query": "expiring=true&ordering=expires_at",
        },
        {
            "count": active.filter(expires_at=None).count(),
            "text": _("never expire"),
            "query": "status=active&ordering=-expires_at",
        },
        {
            "count": active.exclude(is_confined()).count(),
            "text": _("work from any address"),
            "query": "status=active&unrestricted=true",
        },
        {
            "count": active.filter(~Exists(idle), created_at__lt=month_ago).count(),
            "text": _("were not used for 30 days"),
            "query": "status=active&ordering=last_used_at",
        },
    ]
    return [hint for hint in hints if hint["count"]]
