"""Deciding on what somebody asked for."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_datetime
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy

from keys.forms.fields import (
    MAX_ADDRESS_TEXT,
    AddressesField,
    AddressLine,
    MomentField,
    ServiceForm,
)
from keys.models import ApprovalRequest
from keys.models.approvals import ApprovalKind
from keys.services import approval_terms
from keys.summaries import Facts


def _note(label: Any, help_text: Any) -> forms.CharField:
    return forms.CharField(
        label=label,
        max_length=500,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=help_text,
    )


class ReasonForm(ServiceForm):
    """Why somebody asks."""

    reason = forms.CharField(
        label=gettext_lazy("Why it is needed"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("For whoever approves it."),
    )


class _AskedAddressesField(AddressesField):
    """The list that is asked for, or a narrower one; programs may have asked for everywhere."""

    def refuse_everywhere(self, network: str) -> None:
        """Do nothing: the service sees whether that is more than was asked for."""


class DecisionForm(ServiceForm):
    """To what one agrees: what was asked for, or less; and a note."""

    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("Scopes"),
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text=gettext_lazy("Take away what is not needed."),
    )
    expires_at = MomentField(
        label=gettext_lazy("Expires at"),
        help_text=gettext_lazy("In UTC. As asked for, or earlier."),
    )
    allowed_ips = _AskedAddressesField(
        label=gettext_lazy("Allowed IPs"),
        max_length=MAX_ADDRESS_TEXT,
        required=False,
        help_text=gettext_lazy("One a line: the key works from there only. As asked for, or less."),
    )
    note = _note(gettext_lazy("Note"), gettext_lazy("Whoever asked reads it."))

    def __init__(self, *args: Any, request: ApprovalRequest, **kwargs: Any) -> None:
        self.request = request
        terms = request.terms
        self.asked_end: datetime | None = (
            parse_datetime(terms["expires_at"]) if terms.get("expires_at") else None
        )
        entries = approval_terms.asked_entries(request)
        # Rows that are switched off have no place in the text; they stay as they are.
        self.inactive = [each for each in entries if not each["active"]]
        kwargs["initial"] = {
            "scopes": terms.get("scopes"),
            "expires_at": self.asked_end,
            "allowed_ips": "\n".join(str(_line(each)) for each in entries if each["active"]),
        }
        super().__init__(*args, **kwargs)
        codes = terms.get("scopes") or []
        self.fields["scopes"].choices = [(code, code) for code in codes]
        if not codes:
            del self.fields["scopes"]
        if request.kind == ApprovalKind.ROLE:
            del self.fields["allowed_ips"]
        if request.kind == ApprovalKind.ROLE or "expires_at" not in terms:
            del self.fields["expires_at"]

    def decision(self) -> dict[str, Any]:
        """Return what was typed, as the service takes it; only what differs from the request."""
        return {"note": self.cleaned_data["note"], **self._changes()}

    @cached_property
    def facts(self) -> Facts:
        """What decides what the key may do, as it is ticked and typed so far.

        Raises ValidationError when the role that it would follow is gone.
        """
        facts = approval_terms.facts_of(self.request)
        if not self.is_bound:
            return facts
        unclear = frozenset({"expires_at", "allowed_ips"} & self.errors.keys())
        return replace(facts, **_as_facts(self._changes()), unclear=unclear)

    def forgive(self) -> None:
        """Say nothing of mistakes: whoever only looks at the summary is not done yet."""
        with suppress(ValidationError):  # its role is gone: there is no summary
            self.facts  # noqa: B018 - they know what is unclear
        self.errors.clear()

    def _changes(self) -> dict[str, Any]:
        data, changed = self.cleaned_data, set(self.changed_data) & self.cleaned_data.keys()
        changes: dict[str, Any] = {}
        if "scopes" in changed:
            changes["scopes"] = data["scopes"]
        # Browsers know no seconds.
        asked = self.asked_end and self.asked_end.replace(second=0, microsecond=0)
        if "expires_at" in changed and data["expires_at"] != asked:
            changes["expires_at"] = data["expires_at"]
        if "allowed_ips" in changed:
            lines = [line.as_entry() for line in data["allowed_ips"]]
            changes["allowed_ips"] = [*lines, *self.inactive]
        return changes


def _line(entry: dict[str, Any]) -> AddressLine:
    return AddressLine(entry["network"], entry["deny"], entry["comment"])


def _as_facts(changes: dict[str, Any]) -> dict[str, Any]:
    said = {}
    if "scopes" in changes:
        said["scopes"] = frozenset(changes["scopes"])
    if "expires_at" in changes:
        said["expires_at"] = changes["expires_at"]
    if "allowed_ips" in changes:
        said |= approval_terms.lists_of(changes["allowed_ips"])
    return said
