"""A new secret of a key."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys import policy
from keys.forms.fields import OnceForm, ServiceForm
from keys.models import APIKey, Organization, User
from keys.models.keys import Status
from keys.services.handing_over import MOST_AT_ONCE, objections
from keys.services.rotation import MAX_QUIET_HOURS

_NOT_AMONG_THESE = gettext_lazy("A key that you chose is not among these any more; choose again.")


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


class HandOverForm(RotateForm):
    """Whose a key shall be, and how long the secret that its person knows keeps working."""

    TO_ORGANIZATION, TO_ME = "organization", "me"

    to = forms.ChoiceField(label=gettext_lazy("Whose it is then"), widget=forms.RadioSelect)

    def __init__(self, *args: Any, actor: User, organization: Organization, **more: Any) -> None:
        super().__init__(*args, **more)
        self.actor = actor
        self.fields["to"].choices = [
            (self.TO_ORGANIZATION, organization.name),
            (self.TO_ME, _("Yours")),
        ]
        self.fields["to"].initial = self.TO_ORGANIZATION
        # It is known to somebody who leaves.
        self.fields["overlap"].choices = [
            choice for choice in self.fields["overlap"].choices if choice[0] != self.QUIET
        ]
        self.fields["overlap"].initial = "0"
        del self.fields["quiet_hours"]

    def clean(self) -> dict[str, Any]:
        return {"quiet_hours": None, **super().clean()}

    def hand_over_arguments(self) -> dict[str, Any]:
        """Return what was chosen as arguments of `hand_over_key`."""
        owner = self.actor if self.cleaned_data["to"] == self.TO_ME else None
        return {"owner": owner, "overlap": self.rotate_arguments()["overlap"]}


class HandOverSeveralForm(HandOverForm):
    """Which keys of one person to hand over as well."""

    keys = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Keys"),
        queryset=APIKey.objects.none(),
        widget=forms.CheckboxSelectMultiple,
        error_messages={
            "required": gettext_lazy("Choose the keys to hand over."),
            "invalid_choice": _NOT_AMONG_THESE,
            "invalid_pk_value": _NOT_AMONG_THESE,
        },
    )

    def __init__(self, *args: Any, keys: QuerySet[APIKey], **more: Any) -> None:
        super().__init__(*args, **more)
        self.fields["keys"].queryset = keys
        # Read once, for the page and what was chosen.
        self.rows = list(keys[:MOST_AT_ONCE])
        self.objections = objections(actor=self.actor, keys=self.rows)
        self.fields["keys"].choices = [(key.pk, key) for key in self.rows]
        # What does not work, nobody may need; what cannot be handed over, stays.
        self.fields["keys"].initial = [
            key.pk
            for key in self.rows
            if key.status in (Status.ACTIVE, Status.PENDING) and key.pk not in self.objections
        ]

    @property
    def moves_reach(self) -> bool:
        """Whether another owner changes which keys one of these reaches."""
        return any(map(policy.reaches_by_owner, self.rows))

    def key_options(self) -> Iterator[tuple[forms.boundfield.BoundWidget, APIKey, str]]:
        """Return each choice of a key with that key and why it could not be handed over."""
        for option, key in zip(self["keys"], self.rows, strict=True):
            yield option, key, self.objections.get(key.pk, "")

    def hand_over_arguments(self) -> dict[str, Any]:
        """Return what was chosen as arguments of `hand_over_keys`."""
        return {"keys": self.cleaned_data["keys"], **super().hand_over_arguments()}
