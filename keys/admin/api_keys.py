"""Keys, as staff see them: found, inspected, locked, unlocked, revoked."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected as confirm_deletion
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import display_for_value
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters

from keys import policy, secrets, services, snapshots
from keys.admin.base import Button, PolicyAdmin, ReadOnlyInline, telling_refusals
from keys.models import AllowedIP, APIKey, KeySecret
from keys.models.keys import Status
from keys.roles import Permission


class StatusFilter(admin.SimpleListFilter):
    """Filters keys by what they are now."""

    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(Status.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value = self.value()
        if value not in Status.values:
            return queryset
        return queryset.filter(
            pk__in=APIKey.objects.with_status(value, timezone.now()).values("pk")
        )


class SecretInline(ReadOnlyInline):
    """The secrets of a key by their masks."""

    model = KeySecret
    fields = ("label", "created_at", "retires_at", "revoked_at", "last_used_at")


class AllowedIPInline(ReadOnlyInline):
    """Where a key may be used from."""

    model = AllowedIP
    fields = ("network", "deny", "active", "comment", "updated_at")


@admin.register(APIKey)
class APIKeyAdmin(PolicyAdmin):
    """Shows keys, never their secrets; deleting one is revoking it."""

    list_display = (
        "name",
        "organization",
        "status_badge",
        "label_code",
        "owner",
        "last_used",
        "expires_at",
        "created_at",
    )
    list_filter = (StatusFilter, "dialect", ("organization", admin.RelatedOnlyFieldListFilter))
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
    actions = ("delete_selected",)
    buttons = (
        Button(
            name="lock",
            label=_("Lock"),
            bulk_label=_("Lock selected API keys"),
            permission=Permission.LOCK_APIKEY,
            run=lambda actor, key: services.lock_key(actor=actor, key=key),
            applies=lambda key: key.revoked_at is None and key.locked_at is None,
            done=_("Locked %(name)s. Only staff can unlock it."),
        ),
        Button(
            name="unlock",
            label=_("Unlock"),
            bulk_label=_("Unlock selected API keys"),
            permission=Permission.LOCK_APIKEY,
            run=lambda actor, key: services.unlock_key(actor=actor, key=key),
            applies=lambda key: key.revoked_at is None and key.locked_at is not None,
            done=_("Unlocked %(name)s."),
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
                    "assign_server_ips",
                    "external_user",
                )
            },
        ),
        (_("Use"), {"fields": ("requests", "refused", "cost", "last_used", "last_seen")}),
        (
            _("History"),
            {"fields": ("created_at", "updated_at", "locked_at", "revoked_at", "trail")},
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
        if obj is not None and obj.revoked_at is not None:
            return False
        return super().has_delete_permission(request, obj)

    # Finding a key

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.find_view)
        return [path("find/", view, name="keys_apikey_find"), *super().get_urls()]

    @telling_refusals
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        words = request.GET.get(SEARCH_VAR, "").split()
        if any(secrets.find_format(word) for word in words):
            message = gettext(
                "That was a whole key, and searching puts it into the address: it is now in this "
                "browser's history and perhaps in logs. Consider rotating it, and find keys by "
                "their secret with the box below."
            )
            self.message_user(request, message, messages.WARNING)
            return redirect("admin:keys_apikey_changelist")
        return super().changelist_view(request, extra_context)

    @method_decorator(sensitive_post_parameters("secret"))
    def find_view(self, request: HttpRequest) -> HttpResponse:
        """Go to the key of a secret that somebody presented; posted, so that no log keeps it."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = snapshots.find_secret(request.POST.get("secret", "").strip())
        key = self.get_queryset(request).filter(pk=row.key_id).first() if row else None
        if key is None:
            self.message_user(request, gettext("No key has this secret."), messages.WARNING)
            return redirect("admin:keys_apikey_changelist")
        return redirect("admin:keys_apikey_change", key.pk)

    # Revoking, which is what deleting means here

    @admin.action(permissions=["delete"], description=_("Revoke selected API keys"))
    def delete_selected(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        """Confirm, then revoke. It has the stock name, so that the stock one never runs."""
        if not request.POST.get("post"):
            context = confirm_deletion(self, request, queryset)
            if context is not None:
                context.context_data["title"] = gettext("Revoke several API keys")
            return context
        self.delete_queryset(request, queryset)
        return None

    def delete_model(self, request: HttpRequest, obj: APIKey) -> None:
        services.revoke_key(actor=request.user, key=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        keys = list(queryset.live())
        for key in keys:
            self.delete_model(request, key)
        self.log_deletions(request, keys)
        message = ngettext(
            "Revoked %(count)d API key.", "Revoked %(count)d API keys.", len(keys)
        ) % {"count": len(keys)}
        self.message_user(request, message, messages.SUCCESS)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list, dict, set, list]:
        # Nothing is removed with a key, since nothing is removed.
        return [str(key) for key in objs], {}, set(), []

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        return LogEntry.objects.log_actions(
            user_id=request.user.pk,
            queryset=queryset,
            action_flag=CHANGE,
            change_message=gettext("Revoked."),
        )

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"title": gettext("Revoke API key"), **(extra_context or {})}
        return super().delete_view(request, object_id, extra_context=context)

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        message = gettext("Revoked %(name)s.") % {"name": obj_display}
        self.message_user(request, message, messages.SUCCESS)
        return redirect("admin:keys_apikey_change", obj_id)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        # The stock link says "Delete"; ours stands beside the other buttons.
        context = {"show_delete": False, "can_revoke": self._can_revoke(request, object_id)}
        return super().change_view(
            request, object_id, form_url, {**context, **(extra_context or {})}
        )

    def _can_revoke(self, request: HttpRequest, object_id: str) -> bool:
        key = self.get_object(request, object_id)
        return key is not None and self.has_delete_permission(request, key)

    # Columns

    @admin.display(description=_("status"))
    def status_badge(self, key: APIKey) -> str:
        status = key.status
        return format_html('<span class="badge badge-{}">{}</span>', status.value, status.label)

    @admin.display(description=_("label"))
    def label_code(self, key: APIKey) -> str:
        return format_html("<code>{}</code>", key.label)

    @admin.display(description=_("last used"), ordering="totals__last_used_at")
    def last_used(self, key: APIKey) -> str:
        return _show(key.totals.last_used_at)

    @admin.display(description=_("last seen with"))
    def last_seen(self, key: APIKey) -> str:
        totals = key.totals
        return " · ".join(filter(None, [totals.last_address, totals.last_user_agent]))

    @admin.display(description=_("scopes given"))
    def given(self, key: APIKey) -> str:
        return ", ".join(key.scope_codes)

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

    @admin.display(description=_("audit trail"))
    def trail(self, key: APIKey) -> str:
        query = {"object_type": "apikey", "object_id": str(key.pk)}
        address = reverse("admin:keys_auditevent_changelist", query=query)
        return format_html('<a href="{}">{}</a>', address, gettext("What happened to this key"))


def _show(value: Any) -> str:
    return display_for_value(value, "-")
