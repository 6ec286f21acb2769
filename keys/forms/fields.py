"""Fields and kinds of forms that several pages share."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys import networks
from keys.networks import Address

# A thousand addresses with a comment each.
MAX_ADDRESS_TEXT = 250_000

# What people choose from when they say how long a key lives.
EXPIRY_DAYS = (7, 30, 60, 90, 365)

_TOKEN_LENGTH = 32


def short_date(moment: datetime) -> str:
    """Return the day of a moment."""
    return date_format(timezone.localtime(moment), "DATE_FORMAT")


def days_choice(days: int, now: datetime) -> tuple[str, str]:
    """Return the choice of so many days from now, with the date that it comes to."""
    words = _("1 year") if days == 365 else _("%(days)d days") % {"days": days}
    return str(days), f"{words} · {short_date(now + timedelta(days=days))}"


class OnceForm(forms.Form):
    """A form of which a second sending must not do the same thing again."""

    token = forms.CharField(
        label=gettext_lazy("Form"),
        widget=forms.HiddenInput,
        max_length=_TOKEN_LENGTH,
        validators=[RegexValidator(rf"^[A-Za-z0-9]{{{_TOKEN_LENGTH}}}\Z")],
    )

    @property
    def new_token(self) -> str:
        """A token by which this form, as it is shown now, is recognised when sent again."""
        return get_random_string(_TOKEN_LENGTH)


class ShowsProblems(forms.BaseForm):
    """Shows what a service finds wrong with what was typed."""

    # Where the form calls a field of the service by another name.
    shown_at: Mapping[str, str] = {}

    def add_problems(self, problems: ValidationError) -> None:
        """Show each problem at its field; what is of no field here stands above the form."""
        if not hasattr(problems, "error_dict"):
            self.add_error(None, problems)
            return
        for field, errors in problems.error_dict.items():
            name = self.shown_at.get(field, field)
            self.add_error(name if name in self.fields else None, errors)


class ServiceForm(ShowsProblems, forms.Form):
    """A form whose values a service takes."""


class AddressField(forms.CharField):
    """One address; its value is an Address, or None where nothing was typed."""

    widget = forms.TextInput(attrs={"autocomplete": "off", "class": "mono"})

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=64, **kwargs)

    def clean(self, value: Any) -> Address | None:
        text = super().clean(value)
        try:
            return networks.parse_address(text) if text else None
        except ValueError as error:
            raise ValidationError(str(error)) from None


class NetworkField(forms.CharField):
    """One address or range, in its canonical spelling."""

    widget = forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "class": "mono"})

    def clean(self, value: Any) -> str:
        try:
            return networks.canonical_network(super().clean(value))
        except ValueError as error:
            raise ValidationError(str(error)) from None


class MomentField(forms.DateTimeField):
    """A moment in UTC, as browsers send it or as people type it."""

    FORMAT = "%Y-%m-%dT%H:%M"

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format=FORMAT)

    def __init__(self, **kwargs: Any) -> None:
        formats = [self.FORMAT, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"]
        super().__init__(input_formats=formats, required=False, **kwargs)


@dataclass(frozen=True)
class AddressLine:
    """One line of a list of addresses: `[!]network [# comment]`."""

    network: str
    deny: bool
    comment: str

    def __str__(self) -> str:
        sign = "!" if self.deny else ""
        return f"{sign}{self.network}" + (f"  # {self.comment}" if self.comment else "")

    def as_entry(self) -> dict[str, Any]:
        """Return the line as services take it."""
        return {"network": self.network, "deny": self.deny, "comment": self.comment}


class AddressesField(forms.CharField):
    """Addresses and ranges, one a line; its value is a list of AddressLine."""

    widget = forms.Textarea(
        attrs={"rows": 4, "spellcheck": "false", "autocapitalize": "off", "class": "mono"}
    )

    def to_python(self, value: Any) -> list[AddressLine]:  # type: ignore[override]
        text = super().to_python(value) or ""
        super().run_validators(text)
        lines = text.splitlines()
        parsed, problems = [], []
        for number, text in enumerate(lines, start=1):
            if not text.strip():
                continue
            try:
                parsed.append(self._parse(text))
            except ValueError as error:
                problems.append(
                    _("Line %(number)d: %(problem)s") % {"number": number, "problem": error}
                )
        if problems:
            raise ValidationError(problems)
        return parsed

    def validate(self, value: list[AddressLine]) -> None:
        if self.required and not value:
            raise ValidationError(self.error_messages["required"], code="required")

    def run_validators(self, value: list[AddressLine]) -> None:
        """Do nothing more: the text and its lines were checked as they were read."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return self.to_python(initial) != self.to_python(data)
        except ValidationError:
            return True

    def _parse(self, text: str) -> AddressLine:
        network, _sign, comment = text.partition("#")
        network = network.strip()
        deny = network.startswith("!")
        network = networks.canonical_network(network.removeprefix("!"))
        if networks.is_everywhere(network) and not deny:
            self.refuse_everywhere(network)
        return AddressLine(network, deny, comment.strip())

    def refuse_everywhere(self, network: str) -> None:
        """Raise ValueError: a list that allows this is none, and what to do instead."""
        raise ValueError(
            _("“%(network)s” means everywhere; leave the list empty for that.")
            % {"network": network}
        )
