"""What happened, for staff to read."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _

from keys.admin.base import ReadOnlyAdmin
from keys.admin.filters import ActionFilter, OrganizationFilter
from keys.admin.site import staff
from keys.models import AuditEvent
from keys.templatetags.audit import differences, plain_sentence


@admin.register(AuditEvent, site=staff)
class AuditEventAdmin(ReadOnlyAdmin):
    """Shows the audit trail; nobody alters it."""

    read_of_one, read_of_any = "audit.read", "installation.audit_read"
    list_display = (
        "at",
        "what_happened",
        "organization",
        "door",
        "address",
    )
    list_filter = (ActionFilter, "door", OrganizationFilter)
    linked_lookups = ("object_type", "object_id")
    list_select_related = ("organization",)
    search_fields = ("actor_label", "action", "object_label", "=object_id", "=request_id")
    search_help_text = _("Who, action, what, its number, request.")
    fields = (
        "at",
        "what_happened",
        "actor_label",
        "action",
        "object_type",
        "object_id",
        "object_label",
        "organization",
        "what_changed",
        "door",
        "address",
        "request_id",
    )
    readonly_fields = fields

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["sentence"] = plain_sentence(context["original"])
        return super().render_change_form(request, context, *args, **kwargs)

    def place_of(self, row: Any) -> dict[str, str]:
        """Return nothing: what is recorded of a look at the trail says that it was one."""
        return {}

    @admin.display(description=_("What happened"), ordering="action")
    def what_happened(self, event: AuditEvent) -> str:
        return plain_sentence(event)

    @admin.display(description=_("changes"))
    def what_changed(self, event: AuditEvent) -> str:
        return format_html_join("", "<div>{}</div>", ((str(each),) for each in differences(event)))
