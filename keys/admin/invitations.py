"""Who was asked to join which organization, for staff to read."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from keys.admin.base import ReadOnlyAdmin
from keys.admin.filters import OrganizationFilter
from keys.admin.site import staff
from keys.models import Invitation


@admin.register(Invitation, site=staff)
class InvitationAdmin(ReadOnlyAdmin):
    """Shows invitations; people of the organization send them and take them back."""

    list_display = ("email", "organization", "role", "is_owner", "expires_at", "accepted_at")
    list_filter = (OrganizationFilter,)
    list_select_related = ("organization", "role")
    search_fields = ("email", "organization__name", "organization__slug")
    search_help_text = _("Address, organization.")
    fields = (
        "email",
        "organization",
        "role",
        "is_owner",
        "invited_by",
        "invited_by_key",
        "created_at",
        "sent_at",
        "expires_at",
        "accepted_at",
        "accepted_by",
        "revoked_at",
    )
    readonly_fields = fields
