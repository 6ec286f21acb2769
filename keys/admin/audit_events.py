"""What happened, for staff to read."""

from typing import Any

from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _

from keys.admin.base import ReadOnlyAdmin
from keys.admin.filters import OrganizationFilter
from keys.admin.site import staff
from keys.models import AuditEvent
from keys.templatetags.audit import is_whole


@admin.register(AuditEvent, site=staff)
class AuditEventAdmin(ReadOnlyAdmin):
    """Shows the audit trail; nobody alters it."""

    read_of_one, read_of_any = "audit.read", "installation.audit_read"
    list_display = (
        "at",
        "actor_label",
        "action",
        "object_label",
        "organization",
        "door",
        "address",
    )
    list_filter = ("door", OrganizationFilter)
    linked_lookups = ("object_type", "object_id")
    list_select_related = ("organization",)
    search_fields = ("actor_label", "action", "object_label", "=object_id", "=request_id")
    search_help_text = _("Who, action, what, its number, request.")
    fields = (
        "at",
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

    @admin.display(description=_("changes"))
    def what_changed(self, event: AuditEvent) -> str:
        # Something new is recorded with its values, a change with the old and the new one.
        describe = _describe_value if is_whole(event) else _describe_change
        rows = ((field, describe(value)) for field, value in event.changes.items())
        return format_html_join("", "<div><code>{}</code>: {}</div>", rows)


def _describe_change(value: Any) -> str:
    match value:
        case [old, new]:
            return f"{_describe_value(old)} → {_describe_value(new)}"
    return _describe_value(value)


def _describe_value(value: Any) -> str:
    match value:
        case list():
            return ", ".join(map(str, value)) or "—"
        case None | "":
            return "—"
    return str(value)
