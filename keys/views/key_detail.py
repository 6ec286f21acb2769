"""The page of one key."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from keys import policy, snapshots
from keys.forms.search import AddressForm
from keys.models import APIKey, AuditEvent, Scope, UsageBucket
from keys.verification import Code, Question, Snapshot, judge
from keys.views.base import EVENTS_SHOWN, OrganizationRequest, get_key, in_organization, render_page
from keys.views.usage import outcomes_by_day


@require_safe
@in_organization
def key_detail(request: OrganizationRequest, identifier: str) -> HttpResponse:
    """Everything about one key."""
    key = get_key(request, identifier)
    now = timezone.now()
    form = AddressForm(request.GET if "address" in request.GET else None)
    snapshot = snapshots.take(key.current_secret) if key.current_secret else None
    buckets = policy.visible(request.user, UsageBucket.objects.filter(key=key))
    return render_page(
        request,
        "keys/apikey_detail.html",
        {
            "key": key,
            "now": now,
            "days": outcomes_by_day(buckets, now),
            "remaining": key.remaining_at(now),
            "spent_percent": _spent_percent(key, now),
            "effective": _effective_scopes(key, snapshot),
            "address_form": form,
            "trial": _try_address(snapshot, form, now),
            "server_addresses": request.organization.server_addresses.all()
            if key.assign_server_ips
            else [],
            "events": _events_of(request, key),
        },
    )


def _effective_scopes(key: APIKey, snapshot: Snapshot | None) -> list[tuple[Scope, bool]]:
    """Return each scope the key was given, with whether it counts today."""
    effective = snapshot.scopes if snapshot else frozenset()
    return [(scope, scope.code in effective) for scope in key.scope_rows]


def _spent_percent(key: APIKey, now: datetime) -> int:
    remaining = key.remaining_at(now)
    return round(100 - 100 * remaining / key.limit) if key.limit else 100


def _try_address(
    snapshot: Snapshot | None, form: AddressForm, now: datetime
) -> dict[str, Any] | None:
    """Return what a request from that address would get."""
    if snapshot is None or not form.is_valid():
        return None
    address = form.cleaned_data["address"]
    code = judge(snapshot, Question(now=now, address=address))
    return {"address": address, "code": code, "is_accepted": code is Code.VALID}


def _events_of(request: OrganizationRequest, key: APIKey) -> QuerySet[AuditEvent]:
    events = request.organization.audit_events.filter(
        object_type=APIKey._meta.model_name, object_id=str(key.pk)
    )
    return policy.visible(request.user, events)[:EVENTS_SHOWN]
