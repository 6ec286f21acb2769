"""Fields and kinds of forms that several pages share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.crypto import get_random_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys import networks

# A thousand addresses with a comment each.
MAX_ADDRESS_TEXT = 250_000

_TOKEN_LENGTH = 32


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


class ServiceForm(forms.Form):
    """A form whose values a service takes, and which shows what the service finds wrong."""

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
        if network in ("0.0.0.0/0", "::/0") and not deny:
            self.refuse_everywhere(network)
        return AddressLine(network, deny, comment.strip())

    def refuse_everywhere(self, network: str) -> None:
        """Raise ValueError: a list that allows this is none, and what to do instead."""
        raise ValueError(
            _("“%(network)s” means everywhere; leave the list empty for that.")
            % {"network": network}
        )
