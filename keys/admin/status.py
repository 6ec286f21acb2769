"""The hosts on which keys are judged: who lives, how late they know, what is not counted yet."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import BooleanField, Case, Min, Sum, Value, When
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from keys import feed, folding, policy
from keys.models import AuditHead, Organization, Worker
from keys.models.workers import SILENT_AFTER

BROKEN_SHOWN = 20
# More processes than that, nobody reads; the newest are shown.
WORKERS_SHOWN = 500


@dataclass(frozen=True)
class Lag:
    """How late hosts know of each other's changes: that of the latest, in milliseconds."""

    median: float
    p99: float


@require_safe
def show(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Show every worker as it last reported, and the bound on what it may not know yet."""
    if not policy.oversees_installation(request.user):
        raise Http404
    workers = _workers()
    live = [each for each in workers if each.is_live]
    return TemplateResponse(
        request,
        "admin/status.html",
        {
            **context,
            "title": _("Status"),
            "workers": workers,
            "live": live,
            "hosts": {each.host for each in live},
            "lag": _lag(live),
            "backlog": folding.backlog(),
            "trail": _trail(),
            "broken": _broken_chains(),
            "has_feed": feed.is_needed(),
            "lease": f"{settings.INVALIDATION_LEASE_SECONDS:g}",
        },
    )


def _trail() -> dict[str, Any]:
    # Of the installation as a whole; how far its chains were followed, and since when at least.
    return AuditHead.objects.aggregate(
        events=Sum("sequence", default=0),
        verified=Sum("verified_sequence", default=0),
        since=Min("verified_at"),
    )


def _broken_chains() -> list[tuple[str, str]]:
    """Return [(whose chain, what is wrong with it)], a bounded number."""
    heads = AuditHead.objects.exclude(problem="").order_by("chain")[:BROKEN_SHOWN]
    names = Organization.objects.in_bulk([head.chain for head in heads])
    return [(str(names.get(head.chain, _("The installation"))), head.problem) for head in heads]


def _workers() -> list[Worker]:
    # By the database's clock, as they reported.
    is_live = Case(
        When(seen_at__gt=Now() - SILENT_AFTER, then=Value(True)),
        default=Value(False),
        output_field=BooleanField(),
    )
    newest = Worker.objects.annotate(is_live=is_live).order_by("-seen_at")[:WORKERS_SHOWN]
    return sorted(newest, key=lambda each: (not each.is_live, each.host, each.started_at))


def _lag(workers: list[Worker]) -> Lag | None:
    # One worker of each host listens for all of them; the latest host counts.
    medians = [each.lag_p50_ms for each in workers if each.lag_p50_ms is not None]
    p99s = [each.lag_p99_ms for each in workers if each.lag_p99_ms is not None]
    return Lag(max(medians), max(p99s)) if medians and p99s else None
