"""Which events of an audit trail are shown.

What an actor may see at all is the policy's question: the queryset comes narrowed already.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from keys import policy
from keys.models import APIKey, AuditEvent
from keys.search import MAX_LENGTH, people_named, problem_of_length

# What was done, by what it was done to.
ACTIONS: list[tuple[str | Promise, list[tuple[str, str | Promise]]]] = [
    (
        _("API keys"),
        [
            ("apikey.issued", _("Key issued")),
            ("apikey.updated", _("Key changed")),
            ("apikey.rotated", _("Secret rotated")),
            ("apikey.handed_over", _("Key handed over")),
            ("apikey.secret_retired", _("Old secret ended")),
            ("apikey.disabled", _("Key disabled")),
            ("apikey.enabled", _("Key enabled")),
            ("apikey.revoked", _("Key revoked")),
            ("apikey.locked", _("Key locked by staff")),
            ("apikey.unlocked", _("Key unlocked by staff")),
            ("apikey.imported", _("Key imported")),
            ("apikey.import_finished", _("File of keys imported")),
            ("apikey.exported", _("List of keys downloaded")),
        ],
    ),
    (
        _("Approvals"),
        [
            ("approval.requested", _("Approval asked for")),
            ("approval.approved", _("Request approved")),
            ("approval.denied", _("Request denied")),
            ("approval.withdrawn", _("Request withdrawn")),
            ("approval.issued", _("Approved key issued")),
        ],
    ),
    (
        _("Members"),
        [
            ("membership.created", _("Member added")),
            ("membership.updated", _("Membership changed")),
            ("membership.deleted", _("Member removed")),
            ("invitation.sent", _("Somebody invited")),
            ("invitation.sent_again", _("Somebody invited again")),
            ("invitation.revoked", _("Invitation taken back")),
            ("invitation.declined", _("Invitation declined")),
        ],
    ),
    (
        _("Roles and scopes"),
        [
            ("role.created", _("Role defined")),
            ("role.updated", _("Role changed")),
            ("role.deleted", _("Role deleted")),
            ("scope.created", _("Scope defined")),
            ("scope.updated", _("Scope changed")),
            ("scope.deleted", _("Scope deleted")),
        ],
    ),
    (
        _("Organization"),
        [
            ("organization.created", _("Organization created")),
            ("organization.updated", _("Organization changed")),
            ("organization.suspended", _("Organization suspended")),
            ("organization.resumed", _("Organization resumed")),
            ("policy.updated", _("Policy changed")),
            ("organization.shared_secret_revealed", _("Shared secret seen")),
            ("organization.shared_secret_rotated", _("Shared secret replaced")),
            ("workspace.created", _("Workspace added")),
            ("workspace.updated", _("Workspace changed")),
            ("workspace.deleted", _("Workspace deleted")),
            ("serveraddress.created", _("Server address added")),
            ("serveraddress.updated", _("Server address changed")),
            ("serveraddress.deleted", _("Server address removed")),
        ],
    ),
    (
        _("Webhooks and leaks"),
        [
            ("webhook.created", _("Webhook added")),
            ("webhook.updated", _("Webhook changed")),
            ("webhook.deleted", _("Webhook deleted")),
            ("webhook.secret_rotated", _("Webhook's secret replaced")),
            ("webhook.tested", _("Webhook tested")),
            ("webhook.replayed", _("Message sent again")),
            ("webhook.stopped", _("Failing webhook switched off")),
            ("leak.reported", _("Key found by somebody")),
            ("leak.settled", _("Report on a found key settled")),
        ],
    ),
    (
        _("What was looked at"),
        [
            ("audit.read", _("Audit trail read")),
            ("audit.exported", _("Audit trail downloaded")),
            ("audit.trimmed", _("Old events removed")),
            ("audit.adopted", _("Events of an older release chained")),
            ("apikey.read", _("Key looked at by staff")),
            ("organization.read", _("Organization looked at by staff")),
        ],
    ),
]


# What happened to no organization; only staff read of it.
_OF_NOBODY: list[tuple[str | Promise, list[tuple[str, str | Promise]]]] = [
    (
        _("Accounts"),
        [
            ("user.created", _("Account created")),
            ("user.updated", _("Account changed")),
            ("user.signed_up", _("Account opened")),
            ("user.signed_in", _("Signed in")),
            ("user.sign_in_failed", _("Sign-in failed")),
            ("user.sessions_ended", _("Other sessions ended")),
            ("user.password_set", _("Password chosen")),
            ("user.password_reset", _("Password set by a link")),
            ("user.password_changed", _("Password set by staff")),
            ("user.email_added", _("Email address added")),
            ("user.email_confirmed", _("Email address confirmed")),
            ("user.email_changed", _("Primary email address changed")),
            ("user.email_removed", _("Email address removed")),
            ("user.recovery_codes_made", _("Recovery codes made")),
            ("user.second_factor_added", _("Second factor set up")),
            ("user.second_factor_removed", _("Second factor removed")),
            ("user.single_sign_on_connected", _("Single sign-on connected")),
            ("user.single_sign_on_removed", _("Single sign-on removed")),
            ("user.single_sign_on_ended", _("Signed out by single sign-on")),
            ("user.read", _("Account looked at by staff")),
        ],
    ),
    (
        _("Installation"),
        [
            ("installation.read", _("List looked through")),
            ("installation.searched", _("Installation searched")),
            ("installation.audit_read", _("Audit trails read")),
            ("installation.exported", _("Report downloaded")),
            ("demo.created", _("Demo data made")),
        ],
    ),
]
STAFF_ACTIONS = [*ACTIONS, *_OF_NOBODY]
# Which nothing changed by: somebody looked, or took a copy.
LOOKS = (
    "audit.read",
    "audit.exported",
    "apikey.read",
    "apikey.exported",
    "organization.read",
    "user.read",
    "installation.read",
    "installation.searched",
    "installation.audit_read",
    "installation.exported",
)


def kind_of(action: str) -> str:
    """Return to what kind of thing an action is done."""
    return action.partition(".")[0]


def _date_input() -> forms.DateInput:
    return forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class AddressFilter(django_filters.CharFilter):
    """Filters by an IP address, in whatever spelling it is given."""

    field_class = forms.GenericIPAddressField


class TextFilter(django_filters.CharFilter):
    """Filters by a text. A longer one is refused in words, where a browser would cut it short."""

    def __init__(self, *, most: int = MAX_LENGTH, **kwargs: Any) -> None:
        def refuse_longer(text: str) -> None:
            if problem := problem_of_length(text, most=most):
                raise ValidationError(problem)

        super().__init__(validators=[refuse_longer], **kwargs)


class AuditFilter(django_filters.FilterSet):
    """Narrows an audit trail for people. `request.user` says whose keys may be asked for."""

    actor = TextFilter(method="filter_actor", label=_("Who"))
    action = django_filters.ChoiceFilter(choices=ACTIONS, empty_label=_("Anything"), label=_("Did"))
    object = TextFilter(field_name="object_label", lookup_expr="icontains", label=_("To what"))
    door = django_filters.ChoiceFilter(
        choices=AuditEvent.Door.choices, empty_label=_("Any"), label=_("Through")
    )
    address = AddressFilter(label=_("From the address"))
    request_id = TextFilter(most=64, label=_("In the request"))
    since = django_filters.DateFilter(
        method="filter_since", widget=_date_input(), label=_("From (UTC)")
    )
    until = django_filters.DateFilter(
        method="filter_until", widget=_date_input(), label=_("To (UTC)")
    )
    key = django_filters.CharFilter(method="filter_key", max_length=24, label=_("Key"))

    class Meta:
        model = AuditEvent
        fields: list[str] = []

    def filter_actor(self, queryset, name, value):
        """Find what somebody did by their address, or by the name that they go by today."""
        named = Q(actor_user__in=people_named(value).values("pk"))
        return queryset.filter(Q(actor_label__icontains=value) | named)

    def filter_since(self, queryset, name, value):
        return queryset.filter(at__gte=_midnight(value))

    def filter_until(self, queryset, name, value):
        """Keep what happened on that day too."""
        return queryset if value == date.max else queryset.filter(at__lt=_midnight(value, days=1))

    def filter_key(self, queryset, name, value):
        """Find what was done to the key with that identifier, and what was done with it."""
        keys = policy.visible(self.request.user, APIKey.objects.filter(identifier=value))
        pk = keys.values_list("pk", flat=True).first()
        if pk is None:
            return queryset.none()
        of_key = Q(object_type=APIKey._meta.model_name, object_id=str(pk))
        return queryset.filter(of_key | Q(actor_key=pk))


class KeyAuditFilter(AuditFilter):
    """Narrows what happened to one key."""

    action = django_filters.ChoiceFilter(
        choices=ACTIONS[0][1], empty_label=_("Anything"), label=_("Did")
    )
    actor = object = key = address = request_id = None


def _midnight(day: date, *, days: int = 0) -> datetime:
    return datetime.combine(day + timedelta(days=days), time(), UTC)
