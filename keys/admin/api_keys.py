"""Keys, as staff see them: found, inspected, locked, unlocked, revoked."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import display_for_value
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from keys import policy, services
from keys.admin.base import ReadOnlyInline, telling_refusals
from keys.admin.buttons import Button, ButtonAdmin, ReasonForm
from keys.admin.decisions import use_of_key
from keys.admin.filters import AttentionFilter, OrganizationFilter, StatusFilter
from keys.admin.site import staff
from keys.forms.search import SearchForm
from keys.models import AllowedIP, APIKey, KeySecret
from keys.roles import Permission
from keys.templatetags.dates import when
from keys.templatetags.rates import rates_in_words


class SecretInline(ReadOnlyInline):
    """The secrets of a key by their masks."""

    model = KeySecret
    fields = ("label", "created_at", "superseded_at", "ends", "revoked_at", "last_used_at")

    @admin.display(description=_("ends"))
    def ends(self, secret: KeySecret) -> str:
        return _show(secret.ends_at)


class AllowedIPInline(ReadOnlyInline):
    """Where a key may be used from."""

    model = AllowedIP
    fields = ("network", "deny", "active", "comment", "updated_at")


@admin.register(APIKey, site=staff)
class APIKeyAdmin(ButtonAdmin):
    """Shows keys, never their secrets; locks, unlocks and revokes them."""

    list_display = (
        "name_and_label",
        "organization",
        "status_badge",
        "owner",
        "used_when",
        "ends_when",
    )
    list_filter = (StatusFilter, AttentionFilter, OrganizationFilter, "dialect")
    linked_lookups = ("owner",)
    search_fields = (
        "=id",
        "=identifier",
        "=hash",
        "name",
        "slug",
        "secrets__label",
        "owner__email",
        "organization__name",
        "organization__slug",
    )
    search_help_text = _("Number, identifier, hash, name, short name, label, person, organization.")
    inlines = (SecretInline, AllowedIPInline)
    buttons = (
        Button(
            name="lock",
            label=_("Lock…"),
            question=_("Lock “%(name)s”?"),
            question_for_many=lambda count: (
                ngettext("Lock %(count)d API key?", "Lock %(count)d API keys?", count)
                % {"count": count}
            ),
            consequence=_(
                "It stops at once and stays stopped until staff unlock it: its organization can "
                "only revoke it."
            ),
            bulk_label=_("Lock selected API keys"),
            permission=Permission.LOCK_APIKEY,
            run=lambda actor, key, reason: services.lock_key(actor=actor, key=key, reason=reason),
            applies=lambda key: key.revoked_at is None and key.locked_at is None,
            done=_("Locked %(name)s. Only staff can unlock it."),
            form=ReasonForm,
            is_grave=True,
        ),
        Button(
            name="unlock",
            label=_("Unlock…"),
            question=_("Unlock “%(name)s”?"),
            question_for_many=lambda count: (
                ngettext("Unlock %(count)d API key?", "Unlock %(count)d API keys?", count)
                % {"count": count}
            ),
            consequence=_(
                "It works again at once, unless something else stops it. The reason goes with "
                "the lock; the audit trail keeps it."
            ),
            bulk_label=_("Unlock selected API keys"),
            permission=Permission.LOCK_APIKEY,
            run=lambda actor, key: services.unlock_key(actor=actor, key=key),
            applies=lambda key: key.revoked_at is None and key.locked_at is not None,
            done=_("Unlocked %(name)s."),
        ),
        Button(
            name="revoke",
            label=_("Revoke…"),
            question=_("Revoke “%(name)s” for good?"),
            question_for_many=lambda count: (
                ngettext(
                    "Revoke %(count)d API key for good?",
                    "Revoke %(count)d API keys for good?",
                    count,
                )
                % {"count": count}
            ),
            consequence=_(
                "It stops at once, and nothing brings a revoked key back. Its history stays. To "
                "stop it only for now, lock it instead."
            ),
            bulk_label=_("Revoke selected API keys"),
            permission=Permission.DELETE_APIKEY,
            run=lambda actor, key: services.revoke_key(actor=actor, key=key),
            applies=lambda key: key.revoked_at is None,
            done=_("Revoked %(name)s."),
            is_grave=True,
        ),
    )
    fieldsets = (
        (None, {"fields": ("name", "status_badge", "organization", "workspace", "description")}),
        (_("Acts for"), {"fields": ("owner", "creator", "role", "given", "held")}),
        (
            _("Names"),
            {"fields": ("id", "identifier", "hash", "slug", "label_code", "dialect")},
        ),
        (
            _("Limits"),
            {
                "fields": (
                    "not_before",
                    "expires_at",
                    "limit",
                    "limit_reset",
                    "include_byok_in_limit",
                    "remaining",
                    "rates",
                    "assign_server_ips",
                    "external_user",
                )
            },
        ),
        (_("Use"), {"fields": ("requests", "refused", "cost", "last_used", "last_seen")}),
        (
            _("History"),
            {
                "fields": (
                    "created_at",
                    "updated_at",
                    "locked_at",
                    "lock_reason",
                    "revoked_at",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).with_details()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        return [name for _title, options in self.fieldsets for name in options["fields"]]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # people issue keys on the pages, where the secret is shown to them alone

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a key is revoked, by a button; what it was and did stays known

    @telling_refusals
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        form = SearchForm({"search": request.GET.get(SEARCH_VAR, "")})
        if form.is_valid() and form.secret:
            message = gettext(
                "That was a whole key, and searching puts it into the address: it is now in this "
                "browser's history and perhaps in logs. Consider rotating it, and find keys by "
                "their secret with the box at the top."
            )
            self.message_user(request, message, messages.WARNING)
            return redirect("admin:keys_apikey_changelist")
        return super().changelist_view(request, extra_context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        key = self.get_object(request, object_id)
        context = {}
        if key is not None:
            context = use_of_key(request.user, key)
        return super().change_view(
            request, object_id, form_url, {**context, **(extra_context or {})}
        )

    def note_look(self, request: HttpRequest, row: APIKey) -> None:
        """Record that somebody looked at a key."""
        services.note_read(
            actor=request.user, obj=row, organization=row.organization, action="apikey.read"
        )

    # Columns

    @admin.display(description=_("name"), ordering="name")
    def name_and_label(self, key: APIKey) -> str:
        return format_html("{}<br><code>{}</code>", key.name, key.label)

    @admin.display(description=_("last used"), ordering="totals__last_used_at")
    def used_when(self, key: APIKey) -> str:
        moment = key.totals.last_used_at
        return when(moment) if moment else "-"

    @admin.display(description=_("expires"), ordering="expires_at")
    def ends_when(self, key: APIKey) -> str:
        return when(key.expires_at) if key.expires_at else "-"

    @admin.display(description=_("status"))
    def status_badge(self, key: APIKey) -> str:
        status = key.status
        return format_html('<span class="badge badge-{}">{}</span>', status.value, status.label)

    @admin.display(description=_("label"))
    def label_code(self, key: APIKey) -> str:
        return format_html("<code>{}</code>", key.label)

    @admin.display(description=_("rate limits"))
    def rates(self, key: APIKey) -> str:
        return rates_in_words(key)

    @admin.display(description=_("last used"))
    def last_used(self, key: APIKey) -> str:
        return _show(key.totals.last_used_at)

    @admin.display(description=_("last seen with"))
    def last_seen(self, key: APIKey) -> str:
        totals = key.totals
        return " · ".join(filter(None, [totals.last_address, totals.last_user_agent]))

    @admin.display(description=_("scopes given"))
    def given(self, key: APIKey) -> str:
        return ", ".join(sorted(key.scope_codes))

    @admin.display(description=_("scopes held today"))
    def held(self, key: APIKey) -> str:
        return ", ".join(sorted(policy.held_scopes(key, key.organization)))

    @admin.display(description=_("left of the limit"))
    def remaining(self, key: APIKey) -> str:
        return _show(key.remaining_at(timezone.now()))

    @admin.display(description=_("accepted requests"))
    def requests(self, key: APIKey) -> str:
        return _show(key.totals.requests)

    @admin.display(description=_("refused requests"))
    def refused(self, key: APIKey) -> str:
        return _show(key.totals.refused)

    @admin.display(description=_("cost"))
    def cost(self, key: APIKey) -> str:
        return _show(key.totals.cost)


def _show(value: Any) -> str:
    return display_for_value(value, "-")
