"""A new secret of a key."""

from datetime import timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys.forms.fields import OnceForm, ServiceForm
from keys.services.rotation import MAX_QUIET_HOURS


class RotateForm(OnceForm, ServiceForm):
    """How long the old secret of a key keeps working beside the new one."""

    QUIET = "quiet"
    OVERLAPS = {
        "0": (timedelta(0), gettext_lazy("Not at all: it stops now")),
        "1h": (timedelta(hours=1), gettext_lazy("1 hour")),
        "24h": (timedelta(hours=24), gettext_lazy("24 hours")),
        "7d": (timedelta(days=7), gettext_lazy("7 days")),
        QUIET: (None, gettext_lazy("Until nobody uses it any more")),
    }

    overlap = forms.ChoiceField(
        label=gettext_lazy("The old secret keeps working for"),
        choices=[(name, label) for name, (_length, label) in OVERLAPS.items()],
        initial="24h",
        widget=forms.RadioSelect,
    )

    quiet_hours = forms.IntegerField(
        label=gettext_lazy("Hours without a call"),
        min_value=1,
        max_value=MAX_QUIET_HOURS,
        initial=24,
        required=False,
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
        help_text=gettext_lazy("Then it stops by itself; after 30 days in any case."),
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("overlap") != self.QUIET:
            # Not asked for: whatever stands there is no mistake.
            self.errors.pop("quiet_hours", None)
            cleaned["quiet_hours"] = None
        elif cleaned.get("quiet_hours") is None and "quiet_hours" not in self.errors:
            self.add_error("quiet_hours", _("Say after how many hours without a call it stops."))
        return cleaned

    def rotate_arguments(self) -> dict[str, Any]:
        """Return what was chosen as arguments of `rotate_key`."""
        overlap, _label = self.OVERLAPS[self.cleaned_data["overlap"]]
        return {"overlap": overlap, "quiet_hours": self.cleaned_data["quiet_hours"]}
