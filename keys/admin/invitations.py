"""Who was asked to join which organization, for staff to read."""

from typing import Any

from django.contrib import admin
from django.db.models import CharField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from keys.admin.base import ReadOnlyAdmin
from keys.admin.filters import OrganizationFilter
from keys.admin.site import staff
from keys.models import AuditEvent, Invitation

# By what the trail says of the end of one: whoever was invited ended it, or whoever invited.
_ENDS = {
    "invitation.declined": _("Declined"),
    "invitation.revoked": _("Taken back"),
}


@admin.register(Invitation, site=staff)
class InvitationAdmin(ReadOnlyAdmin):
    """Shows invitations; people of the organization send them and take them back."""

    list_display = ("email", "organization", "role", "is_owner", "state", "expires_at")
    list_filter = (OrganizationFilter,)
    list_select_related = ("organization", "role")
    search_fields = ("email", "organization__name", "organization__slug")
    search_help_text = _("Address, organization.")
    fields = (
        "email",
        "organization",
        "role",
        "is_owner",
        "state",
        "invited_by",
        "invited_by_key",
        "created_at",
        "sent_at",
        "expires_at",
        "accepted_at",
        "accepted_by",
        "ended_at",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        of_it = AuditEvent.objects.filter(
            object_type="invitation",
            object_id=Cast(OuterRef("pk"), CharField()),
            action__in=_ENDS,
        )
        ended_by = Subquery(of_it.values("action")[:1])
        return super().get_queryset(request).annotate(ended_by=ended_by)

    @admin.display(description=_("state"))
    def state(self, invitation: Any) -> str | Promise:
        """Say what became of it until now."""
        if invitation.accepted_at:
            return _("Accepted")
        if invitation.revoked_at:
            # Of old ones the trail may be gone.
            return _ENDS.get(invitation.ended_by, _("Declined or taken back"))
        is_open = invitation.is_open_at(timezone.now())
        return _("Open") if is_open else _("Expired")

    @admin.display(description=_("declined or taken back"))
    def ended_at(self, invitation: Invitation) -> Any:
        """Return when it was over without anybody joining."""
        return invitation.revoked_at
