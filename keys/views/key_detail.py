"""The page of one key: how it is used, what it may spend, its secrets, how to stop it."""

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from keys import hygiene, policy, rules, series, services
from keys.models import APIKey
from keys.series import Range
from keys.services.rotation import MAX_QUIET_HOURS
from keys.views.base import OrganizationRequest, asked_range, in_organization, render_page
from keys.views.key_page import (
    events_of,
    followed_addresses,
    load_key,
    render_tab,
)

ADDRESSES_SHOWN = 5
# On the printed sheet.
EVENTS_SHOWN = 10


@require_safe
@in_organization
def key_detail(request: OrganizationRequest, identifier: str) -> HttpResponse:
    """How a key is used, what it may do, what is worth a look."""
    key = load_key(request, identifier, "scopes", "allowed_ips")
    now = timezone.now()
    span = asked_range(request, Range.MONTH)
    findings = hygiene.findings(key, now=now)
    breaches: list[str] = []
    if "breaks_policy" in {check.name for check in findings}:
        shown = APIKey.objects.filter(pk=key.pk)
        found = rules.loaded_rules(request.organization)
        breaches = rules.broken_by(shown, found, now).get(key.pk, [])
    return render_tab(
        request,
        "keys/apikey_detail.html",
        key,
        {
            "span": span,
            "slots": series.outcomes(
                actor=request.user, keys=APIKey.objects.filter(pk=key.pk), span=span, now=now
            ),
            "addresses": series.top_addresses(
                actor=request.user, key=key, now=now, count=ADDRESSES_SHOWN
            ),
            "findings": findings,
            "breaches": breaches,
        },
    )


@require_safe
@in_organization
def key_limits(request: OrganizationRequest, identifier: str) -> HttpResponse:
    """What a key may spend and how often it may be used, and how much of both is left."""
    key = load_key(request, identifier)
    bounds, windows = services.look_at_rates(actor=request.user, key=key)
    context = {
        "spending": series.spending(actor=request.user, key=key, now=timezone.now()),
        "rates": bounds,
        "windows": windows,
    }
    return render_tab(request, "keys/apikey_limits.html", key, context)


@require_safe
@in_organization
def key_rotation(request: OrganizationRequest, identifier: str) -> HttpResponse:
    """The secrets of a key: which is current, when old ones end, and which are still used."""
    key = load_key(request, identifier)
    curves = series.by_secret(actor=request.user, key=key, now=timezone.now())
    context = {"curves": curves, "max_quiet_hours": MAX_QUIET_HOURS}
    return render_tab(request, "keys/apikey_rotation.html", key, context)


@require_safe
@in_organization
def key_danger(request: OrganizationRequest, identifier: str) -> HttpResponse:
    """What stops a key, for a while or for good."""
    return render_tab(request, "keys/apikey_danger.html", load_key(request, identifier), {})


@require_safe
@in_organization
def key_print(request: OrganizationRequest, identifier: str) -> HttpResponse:
    """All about a key on one sheet, to keep on paper or as a file."""
    key = load_key(request, identifier, "scopes", "allowed_ips")
    context = {
        "key": key,
        "now": timezone.now(),
        "held": policy.held_scopes(key, key.organization),
        "server_addresses": followed_addresses(request, key),
        "events": events_of(request, key)[:EVENTS_SHOWN],
    }
    return render_page(request, "keys/apikey_print.html", context)
