"""Deciding on what somebody asked for."""

from datetime import datetime
from typing import Any

from django import forms
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy

from keys.forms.fields import MomentField, ServiceForm
from keys.models import ApprovalRequest
from keys.models.approvals import ApprovalKind


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
    note = _note(gettext_lazy("Note"), gettext_lazy("Whoever asked reads it."))

    def __init__(self, *args: Any, request: ApprovalRequest, **kwargs: Any) -> None:
        terms = request.terms
        self.asked_end: datetime | None = (
            parse_datetime(terms["expires_at"]) if terms.get("expires_at") else None
        )
        kwargs["initial"] = {"scopes": terms.get("scopes"), "expires_at": self.asked_end}
        super().__init__(*args, **kwargs)
        codes = terms.get("scopes") or []
        self.fields["scopes"].choices = [(code, code) for code in codes]
        if not codes:
            del self.fields["scopes"]
        if request.kind == ApprovalKind.ROLE or "expires_at" not in terms:
            del self.fields["expires_at"]

    def decision(self) -> dict[str, Any]:
        """Return what was typed, as the service takes it; only what differs from the request."""
        data = self.cleaned_data
        decision = {"note": data["note"]}
        if "scopes" in self.changed_data:
            decision["scopes"] = data["scopes"]
        # Browsers know no seconds.
        asked = self.asked_end and self.asked_end.replace(second=0, microsecond=0)
        if "expires_at" in self.changed_data and data["expires_at"] != asked:
            decision["expires_at"] = data["expires_at"]
        return decision
