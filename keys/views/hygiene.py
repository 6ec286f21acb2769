"""What wants tidying up among the keys: an overview, and the keys of each check."""

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from django.http import Http404, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from keys import hygiene, policy, rules
from keys.figures import remembered
from keys.forms.bulk import CHANGE_FORMS
from keys.hygiene import CHECKS
from keys.models import APIKey, Organization
from keys.models.keys import APIKeyQuerySet
from keys.orderings import ORDERINGS, take_page
from keys.roles import Permission
from keys.services.enforcing import shown_alone
from keys.views.base import OrganizationRequest, in_organization, render_page, visible_keys


@dataclass(frozen=True)
class Bar:
    """One of several counts, `percent` of the largest of them."""

    label: str
    count: int
    percent: int


@dataclass(frozen=True)
class Remedy:
    """What the page of a check offers: in which order its keys come, which bulk changes fix it."""

    ordering: str = "created_at"
    actions: tuple[str, ...] = ()


REMEDIES = {
    "found": Remedy(actions=("disable", "revoke")),
    "owner_gone": Remedy(actions=("revoke",)),
    "expiring": Remedy("expires_at", actions=("expire",)),
    "breaks_policy": Remedy(actions=("expire", "allow", "revoke")),
    "older_than_policy": Remedy(),
    "over_scoped": Remedy(actions=("narrow",)),
    "idle": Remedy("last_used_at", actions=("disable", "revoke")),
    "never_expires": Remedy(actions=("expire",)),
    "no_ip_list": Remedy(actions=("allow",)),
}

_PERMISSIONS = (Permission.CHANGE_APIKEY, Permission.DELETE_APIKEY, Permission.ROTATE_APIKEY)


@require_safe
@in_organization
def hygiene_overview(request: OrganizationRequest) -> HttpResponse:
    """Every check, with how many of the keys that the person sees fail it."""
    now = timezone.now()
    keys = visible_keys(request)
    figures = remembered(
        "hygiene",
        lambda: _figures(keys, request.organization, now),
        keys=keys,
        actor=request.user,
        organization=request.organization,
        now=now,
    )
    counts = figures["counts"]
    context = {
        "failing": [(check, counts[name]) for name, check in CHECKS.items() if counts[name]],
        "passing": [(check, counts[name]) for name, check in CHECKS.items() if not counts[name]],
        "has_keys": any(counts.values()) or keys.live().exists(),
        "ages": _bars(_age_labels(), figures["ages"]),
        "ends": _bars(_end_labels(), figures["ends"]),
        # Of more keys than that, ages and ends are those of the newest.
        "most": hygiene.MOST_COUNTED,
        "are_newest": sum(figures["ends"]) == hygiene.MOST_COUNTED,
    }
    return render_page(request, "keys/organization_hygiene.html", context)


def _figures(keys: APIKeyQuerySet, organization: Organization, now: datetime) -> dict[str, Any]:
    return {
        "counts": hygiene.counts(keys, organization=organization, now=now),
        "ages": hygiene.ages(keys, now=now),
        "ends": hygiene.ends(keys, now=now),
    }


@require_safe
@in_organization
def hygiene_check(request: OrganizationRequest, check: str) -> HttpResponse:
    """The keys that fail one check, with what to do about them."""
    if check not in CHECKS:
        raise Http404
    now = timezone.now()
    keys = visible_keys(request)
    failing = hygiene.keys_failing(check, keys, organization=request.organization, now=now)
    remedy = REMEDIES[check]
    page = take_page(
        policy.with_permissions(request.user, failing.with_details(), *_PERMISSIONS),
        hygiene.order_of(check, ORDERINGS[remedy.ordering]),
        after=request.GET.get("after", ""),
        before=request.GET.get("before", ""),
        among=hygiene.asked_about(check, keys, now),
    )
    context = {
        "check": CHECKS[check],
        "count": remembered(
            f"hygiene {check}",
            lambda: hygiene.counts(
                keys, organization=request.organization, now=now, checks=[check]
            )[check],
            keys=keys,
            actor=request.user,
            organization=request.organization,
            now=now,
        ),
        "page": page,
        "rows": _rows(check, page.keys, now),
        "rotatable": _rotatable(request, check, page.keys),
        "actions": [each for each in remedy.actions if _may_some(page.keys, each)],
    }
    return render_page(request, "keys/hygiene_check.html", context)


def _rotatable(request: OrganizationRequest, check: str, keys: list[APIKey]) -> set[int]:
    """Return the numbers of the keys whose new secret the person would see, where it is asked."""
    if check != "older_than_policy":
        return set()
    return shown_alone(request.user, rules.loaded_rules(request.organization), keys)


def _rows(check: str, keys: list[APIKey], now: datetime) -> list[tuple[APIKey, Any]]:
    """Return each key with the scopes it does not use, or the rules that it breaks, where the
    check is about these."""
    details: dict[int, list[str]] = {}
    if check == "over_scoped":
        details = hygiene.unused_scopes(keys, now=now)
    elif check == "breaks_policy" and keys:
        found = rules.rules_of(keys[0].organization)
        shown = APIKey.objects.filter(pk__in=[key.pk for key in keys])
        details = rules.broken_by(shown, found, now)
    return [(key, details.get(key.pk, [])) for key in keys]


def _age_labels() -> list[str]:
    bounds = [0, *hygiene.AGES]
    spans = [
        _("%(from)d to %(to)d days") % {"from": low, "to": high} for low, high in pairwise(bounds)
    ]
    return [*spans, _("more than %d days") % bounds[-1]]


def _end_labels() -> list[str]:
    bounds = [0, *hygiene.ENDS]
    spans = [
        _("in %(from)d to %(to)d days") % {"from": low, "to": high}
        for low, high in pairwise(bounds)
    ]
    return [*spans, _("later"), _("never")]


def _bars(labels: list[str], counts: list[int]) -> list[Bar]:
    top = max(counts) or 1
    return [
        Bar(label, count, round(100 * count / top))
        for label, count in zip(labels, counts, strict=True)
    ]


def _may_some(keys: list[APIKey], action: str) -> bool:
    """Say whether the person may change any of these keys so."""
    permission = CHANGE_FORMS[action].change_class.permission
    return any(getattr(key, f"may_{permission.codename}") for key in keys)
