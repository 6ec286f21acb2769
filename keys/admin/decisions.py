"""How keys were judged, as staff read it: a list of its own, and a part of a key's page."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from keys import policy
from keys.admin.base import ReadOnlyAdmin, is_permitted
from keys.admin.filters import KeysOrganizationFilter, OutcomeFilter
from keys.admin.site import staff
from keys.models import APIKey, Decision, UsageBucket, User
from keys.templatetags.outcomes import outcome
from keys.verification import Code

# On the page of a key.
DECISIONS_SHOWN = 15


def use_of_key(actor: User, key: APIKey) -> dict[str, Any]:
    """Return what the page of a key shows of its use: by outcome, and the latest decisions."""
    now = timezone.now()
    buckets = UsageBucket.objects.filter(key=key, hour__gt=now - timedelta(days=7)).order_by()
    last_day = Q(hour__gt=now - timedelta(days=1))
    outcomes = (
        policy.visible(actor, buckets)
        .values("outcome")
        .annotate(week=Sum("requests"), day=Sum("requests", filter=last_day, default=0))
        .order_by("-week")
    )
    decisions = policy.visible(actor, Decision.objects.filter(key=key).select_related("secret"))
    return {
        "outcomes": outcomes,
        "decisions": decisions[:DECISIONS_SHOWN],
        "decisions_url": reverse(
            "admin:keys_decision_changelist", query={"key__id__exact": key.pk}
        ),
    }


@admin.register(Decision, site=staff)
class DecisionAdmin(ReadOnlyAdmin):
    """Shows how keys were judged lately; nobody alters it."""

    list_display = ("at", "key", "organization", "outcome_badge", "address", "asked", "door")
    list_filter = (OutcomeFilter, "door", KeysOrganizationFilter)
    linked_lookups = ("key",)
    list_select_related = ("key__organization",)
    search_fields = ("=request_id", "=address")
    search_help_text = _("Request, address.")
    fields = (
        "at",
        "key",
        "organization",
        "secret",
        "outcome_badge",
        "address",
        "user_agent",
        "asked",
        "door",
        "cost",
        "request_id",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).select_related("key__organization", "secret")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_permitted(request, policy.view_permission(Decision), obj)

    def note_look(self, request: HttpRequest, row: Decision) -> None:
        """Record that somebody looked at a decision."""
        self.note_read(request, row.key.organization, row)

    @admin.display(description=_("organization"))
    def organization(self, decision: Decision) -> str:
        return str(decision.key.organization)

    @admin.display(description=_("outcome"), ordering="outcome")
    def outcome_badge(self, decision: Decision) -> str:
        kind = "active" if decision.outcome == Code.VALID else "revoked"
        return format_html(
            '<span class="badge badge-{}">{}</span>', kind, capfirst(outcome(decision.outcome))
        )

    @admin.display(description=_("asked for"))
    def asked(self, decision: Decision) -> str:
        request = f"{decision.method} {decision.path}".strip()
        return " · ".join(filter(None, [request, ", ".join(decision.scopes)]))
