"""What people asked others to approve: staff read it, and who may decides."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from keys import services
from keys.admin.base import ReadOnlyAdmin
from keys.admin.buttons import Button, ButtonAdmin, ConfirmForm
from keys.admin.filters import ChoiceFilter, OrganizationFilter
from keys.admin.site import staff
from keys.forms.fields import MAX_ADDRESS_TEXT, AddressesField
from keys.models import ApprovalRequest
from keys.models.approvals import ApprovalStatus
from keys.policy import Actor
from keys.roles import Permission
from keys.templatetags import approvals as words

_BADGES = {"success": "active", "danger": "locked", "warning": "pending", "off": "expired"}


class StateFilter(ChoiceFilter):
    """Requests by what became of them."""

    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(ApprovalStatus.choices)

    def narrow(self, queryset: QuerySet, value: str) -> QuerySet:
        found = ApprovalRequest.objects.with_status(value, timezone.now())
        return queryset.filter(pk__in=found.values("pk"))


class NoteForm(ConfirmForm):
    """What whoever asked reads with the decision."""

    note = forms.CharField(
        label=_("Note"),
        max_length=500,
        required=False,
        widget=forms.TextInput(attrs={"autofocus": True, "autocomplete": "off"}),
        help_text=_("Whoever asked reads it."),
    )

    def values(self) -> dict[str, Any]:
        return {"note": self.cleaned_data["note"]}


class AgreementForm(NoteForm):
    """To what one agrees: what was asked for, or that from fewer addresses."""

    allowed_ips = AddressesField(
        label=_("Allowed IPs"),
        max_length=MAX_ADDRESS_TEXT,
        required=False,
        help_text=_("One a line, within what was asked for. Empty: as it was asked for."),
    )

    def values(self) -> dict[str, Any]:
        lines = self.cleaned_data["allowed_ips"]
        demanded = {"allowed_ips": [line.as_entry() for line in lines]} if lines else {}
        return {**super().values(), **demanded}


class DenialForm(NoteForm):
    """Why not."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["note"].required = True


def _approve(actor: Actor, row: ApprovalRequest, **decision: Any) -> None:
    try:
        services.approve_request(actor=actor, request=row, **decision)
    except PermissionDenied as refusal:
        # Of whoever asked: they may not do it any more, whoever agrees.
        raise ValidationError(str(refusal)) from None


def _is_waiting(row: ApprovalRequest) -> bool:
    return row.state == ApprovalStatus.PENDING


@admin.register(ApprovalRequest, site=staff)
class ApprovalRequestAdmin(ReadOnlyAdmin, ButtonAdmin):
    """Shows requests; who may decide agrees to one as it was asked for, or denies it."""

    list_display = (
        "title",
        "organization",
        "kind",
        "requester",
        "state_badge",
        "created_at",
        "ends_at",
    )
    list_filter = (StateFilter, OrganizationFilter, "kind")
    list_select_related = ("organization", "requester", "key")
    search_fields = (
        "=id",
        "requester__email",
        "key__name",
        "organization__name",
        "organization__slug",
    )
    search_help_text = _("Number, person, key, organization.")
    fields = (
        "title",
        "state_badge",
        "organization",
        "kind",
        "requester",
        "reason",
        "needed",
        "asked_for",
        "key",
        "created_at",
        "ends_at",
        "decided_by",
        "decided_at",
        "note",
    )
    readonly_fields = fields
    buttons = (
        Button(
            name="approve",
            label=_("Approve…"),
            question=_("Approve “%(name)s”?"),
            question_for_many=lambda count: (
                ngettext("Approve %(count)d request?", "Approve %(count)d requests?", count)
                % {"count": count}
            ),
            consequence=_(
                "As it was asked for, or only from the addresses that you list. A change counts "
                "from the next request on; a new key is issued by whoever asked, within a week, "
                "and its secret is shown to them alone."
            ),
            bulk_label=_("Approve selected requests"),
            permission=Permission.APPROVE_APPROVALREQUEST,
            run=_approve,
            applies=_is_waiting,
            done=_("Approved %(name)s."),
            form=AgreementForm,
        ),
        Button(
            name="deny",
            label=_("Deny…"),
            question=_("Deny “%(name)s”?"),
            question_for_many=lambda count: (
                ngettext("Deny %(count)d request?", "Deny %(count)d requests?", count)
                % {"count": count}
            ),
            consequence=_("Nothing is issued or changed. Whoever asked may ask again."),
            bulk_label=_("Deny selected requests"),
            permission=Permission.APPROVE_APPROVALREQUEST,
            run=lambda actor, row, note: services.deny_request(actor=actor, request=row, note=note),
            applies=_is_waiting,
            done=_("Denied %(name)s."),
            form=DenialForm,
            is_grave=True,
        ),
    )

    @admin.display(description=_("request"))
    def title(self, row: ApprovalRequest) -> str:
        return str(words.title(row))

    @admin.display(description=_("status"))
    def state_badge(self, row: ApprovalRequest) -> str:
        kind = _BADGES[words.state_tone(row)]
        return format_html('<span class="badge badge-{}">{}</span>', kind, words.state_label(row))

    @admin.display(description=_("needs approval because"))
    def needed(self, row: ApprovalRequest) -> str:
        return _lines((str(each),) for each in words.reasons(row))

    @admin.display(description=_("what is asked for"))
    def asked_for(self, row: ApprovalRequest) -> str:
        return _lines((_in_words(each),) for each in words.terms(row))


def _in_words(term: words.Term) -> str:
    asked = f"{term.before} → {term.asked}" if term.before else term.asked
    return f"{term.label}: {asked}" + (f" ({term.approved})" if term.approved else "")


def _lines(rows: Any) -> str:
    return format_html_join(mark_safe("<br>"), "{}", rows)
