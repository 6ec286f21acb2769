"""What people decide about their organization."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from keys.forms.fields import ServiceForm
from keys.forms.rate_fields import RateFields, initial_rates
from keys.models import Organization
from keys.models.organizations import LimiterFailure, validate_slug

# Ages of secrets to choose from, in days.
ROTATION_CHOICES = (90, 180, 365)
MAX_ROTATION_DAYS = 3650


class OrganizationForm(RateFields, ServiceForm):
    """Name, short name, age of secrets that are listed for rotation, rate limits of all keys."""

    NEVER, CUSTOM = "never", "custom"

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=120,
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )
    slug = forms.CharField(
        label=gettext_lazy("Short name"),
        max_length=63,
        validators=[validate_slug],
        widget=forms.TextInput(
            attrs={"class": "mono", "spellcheck": "false", "autocapitalize": "off"}
        ),
        help_text=gettext_lazy("Lower-case letters, digits and single hyphens inside."),
    )
    confirm_slug = forms.BooleanField(
        label=gettext_lazy("I know that addresses and token exchanges with the old one stop"),
        required=False,
    )
    rotation = forms.ChoiceField(
        label=gettext_lazy("List secrets for rotation that are older than"),
        widget=forms.RadioSelect,
    )
    rotation_days = forms.IntegerField(
        label=gettext_lazy("Days"),
        min_value=1,
        max_value=MAX_ROTATION_DAYS,
        required=False,
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )

    limiter_failure = forms.ChoiceField(
        label=gettext_lazy("While rate limits cannot be counted"),
        choices=[
            (LimiterFailure.REFUSE, gettext_lazy("Refuse requests of rate-limited keys")),
            (LimiterFailure.ALLOW, gettext_lazy("Let them through uncounted")),
        ],
        widget=forms.RadioSelect,
    )

    def __init__(self, *args: Any, organization: Organization, **kwargs: Any) -> None:
        self.organization = organization
        self.needs_confirmation = False
        days = organization.rotation_days
        kwargs["initial"] = {
            "name": organization.name,
            "slug": organization.slug,
            "rotation": self._choice_of(days),
            "rotation_days": days,
            "limiter_failure": organization.limiter_failure,
            **initial_rates(organization.rate_limits.all()),
        }
        super().__init__(*args, **kwargs)
        self.fields["rotation"].choices = [
            *((str(each), ngettext("%d day", "%d days", each) % each) for each in ROTATION_CHOICES),
            (self.CUSTOM, _("Another age")),
            (self.NEVER, _("Any age: list none")),
        ]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("rotation") == self.CUSTOM:
            if cleaned.get("rotation_days") is None and "rotation_days" not in self.errors:
                self.add_error("rotation_days", _("Say after how many days."))
        else:
            # What stands in a field that nobody sees is no mistake.
            self.errors.pop("rotation_days", None)
        slug = cleaned.get("slug")
        self.needs_confirmation = slug is not None and slug != self.organization.slug
        if self.needs_confirmation and not cleaned.get("confirm_slug"):
            self.add_error(
                "confirm_slug",
                _("Read what changes with the short name, tick this and save again."),
            )
        return cleaned

    def changes(self) -> dict[str, Any]:
        """Return what to save, as the service takes it."""
        cleaned = self.cleaned_data
        changes = {name: cleaned[name] for name in ("name", "slug", "limiter_failure")}
        if self.rates_changed:
            changes["rate_limits"] = self.rate_entries()
        return {**changes, "rotation_days": self._days()}

    def _days(self) -> int | None:
        choice = self.cleaned_data["rotation"]
        if choice == self.NEVER:
            return None
        return self.cleaned_data["rotation_days"] if choice == self.CUSTOM else int(choice)

    def _choice_of(self, days: int | None) -> str:
        if days is None:
            return self.NEVER
        return str(days) if days in ROTATION_CHOICES else self.CUSTOM
