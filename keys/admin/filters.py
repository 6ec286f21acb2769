"""What lists are narrowed by."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from keys import policy
from keys.audit_filters import STAFF_ACTIONS, kind_of
from keys.hygiene import owner_is_gone
from keys.models import APIKey, Organization
from keys.models.keys import Status
from keys.verification import Code

# Beside a list; the others are reached from their own page.
ORGANIZATIONS_OFFERED = 20


class ChoiceFilter(admin.SimpleListFilter):
    """Narrows a list by one of a few values; any other value narrows nothing."""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        known = {str(value) for value, _label in self.lookup_choices}
        return self.narrow(queryset, self.value()) if self.value() in known else queryset

    def narrow(self, queryset: QuerySet, value: str) -> QuerySet:
        """Return the rows that have this value."""
        raise NotImplementedError


class StatusFilter(ChoiceFilter):
    """Keys by what they are now."""

    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(reversed(Status.choices))

    def narrow(self, queryset: QuerySet, value: str) -> QuerySet:
        now = timezone.now()
        return queryset.filter(pk__in=APIKey.objects.with_status(value, now).values("pk"))


class AttentionFilter(ChoiceFilter):
    """Keys by what somebody should look at."""

    title = _("attention")
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("expiring", _("Expires within 14 days")),
            ("never_expires", _("Never expires")),
            ("never_used", _("Never used")),
            ("owner_gone", _("Owner is gone")),
        ]

    def narrow(self, queryset: QuerySet, value: str) -> QuerySet:
        live = queryset.filter(revoked_at=None)
        match value:
            case "expiring":
                soon = APIKey.objects.expiring_soon(timezone.now())
                return live.filter(pk__in=soon.values("pk"))
            case "never_expires":
                return live.filter(expires_at=None)
            case "never_used":
                return live.filter(totals__last_used_at=None)
        return live.filter(owner_is_gone())


class OrganizationFilter(ChoiceFilter):
    """Rows of one organization: of the first by name, and of the one that a link chose."""

    title = _("organization")
    parameter_name = "organization"
    # Where a row says which organization it belongs to.
    path = "organization"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        visible = policy.visible(request.user, Organization.objects.order_by("name"))
        offered = list(visible[:ORGANIZATIONS_OFFERED])
        chosen = self.value() or ""
        if chosen.isdecimal() and len(chosen) < 19 and int(chosen) not in {o.pk for o in offered}:
            offered += visible.filter(pk=int(chosen))
        return [(str(each.pk), each.name) for each in offered]

    def narrow(self, queryset: QuerySet, value: str) -> QuerySet:
        return queryset.filter(**{self.path: value})


class KeysOrganizationFilter(OrganizationFilter):
    """Parts of keys by the organization of the key."""

    path = "key__organization"


class ActionFilter(ChoiceFilter):
    """Audit events by what was done: first to what kind of thing, then which of it."""

    title = _("action")
    parameter_name = "did"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        chosen, offered = self.value() or "", []
        for group, actions in STAFF_ACTIONS:
            kind = kind_of(actions[0][0])
            offered.append((kind, group))
            if chosen == kind or chosen in dict(actions):
                offered += [(action, format_lazy("– {}", label)) for action, label in actions]
        return offered

    def narrow(self, queryset: QuerySet, value: str) -> QuerySet:
        groups = {kind_of(actions[0][0]): dict(actions) for _group, actions in STAFF_ACTIONS}
        return queryset.filter(action__in=groups.get(value, [value]))


class SuspensionFilter(ChoiceFilter):
    """Organizations by whether their keys work."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("active", _("Active")), ("suspended", _("Suspended"))]

    def narrow(self, queryset: QuerySet, value: str) -> QuerySet:
        return queryset.filter(suspended_at__isnull=value == "active")


class OutcomeFilter(ChoiceFilter):
    """Decisions by how they ended."""

    title = _("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("accepted", _("Accepted")), ("refused", _("Refused"))]

    def narrow(self, queryset: QuerySet, value: str) -> QuerySet:
        accepted = {"outcome": Code.VALID.value}
        return queryset.filter(**accepted) if value == "accepted" else queryset.exclude(**accepted)
