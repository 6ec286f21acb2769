"""The pool of an organization's server addresses."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys.forms.fields import AddressesField, AddressLine, ServiceForm

# So many at a time, with a comment each.
MAX_ADDED = 100
MAX_POOL_TEXT = 25_000


class PoolField(AddressesField):
    """Addresses and ranges to allow, one a line, each with its comment."""

    def to_python(self, value: Any) -> list[AddressLine]:  # type: ignore[override]
        lines = super().to_python(value)
        if len(lines) > MAX_ADDED:
            raise ValidationError(
                _("Add at most %(max)d addresses at a time."), params={"max": MAX_ADDED}
            )
        return lines

    def _parse(self, text: str) -> AddressLine:
        if text.strip().startswith("!"):
            raise ValueError(
                _("The pool only allows. A key that shall not work from an address says so itself.")
            )
        line = super()._parse(text)
        if len(line.comment) > CommentForm.MAX_LENGTH:
            raise ValueError(
                _("The comment is longer than %(count)d characters.")
                % {"count": CommentForm.MAX_LENGTH}
            )
        return line

    def refuse_everywhere(self, network: str) -> None:
        raise ValueError(
            _("“%(network)s” means everywhere; name the addresses that your servers have.")
            % {"network": network}
        )


class ServerAddressesForm(ServiceForm):
    """Addresses to add to the pool."""

    addresses = PoolField(
        label=gettext_lazy("Addresses or ranges"),
        max_length=MAX_POOL_TEXT,
        help_text=gettext_lazy(
            "One a line, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32. "
            "After a # say which servers these are."
        ),
    )

    def entries(self) -> list[dict[str, str]]:
        """Return the lines as `add_server_addresses` takes them."""
        return [
            {"network": line.network, "comment": line.comment}
            for line in self.cleaned_data["addresses"]
        ]


class CommentForm(ServiceForm):
    """What is said of a server address."""

    MAX_LENGTH = 200

    comment = forms.CharField(
        label=gettext_lazy("Comment"),
        max_length=MAX_LENGTH,
        required=False,
        help_text=gettext_lazy("Which servers these are."),
    )
