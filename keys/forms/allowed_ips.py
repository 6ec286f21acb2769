"""Where a key may be used from: one more row, and what a changed list comes to."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys import networks, snapshots
from keys.forms.fields import NetworkField, ServiceForm
from keys.models import AllowedIP, APIKey
from keys.networks import Address
from keys.verification import passes_lists


@dataclass(frozen=True)
class Consequence:
    """What becomes of a key when its list of allowed IPs is changed so."""

    # It works from anywhere, as it did not before.
    opens: bool
    # It no longer works from where the person is.
    locks_out: bool

    @classmethod
    def of(cls, key: APIKey, rows: Iterable[AllowedIP], address: Address | None) -> "Consequence":
        """Say what happens when these rows take the place of the key's list."""
        before = snapshots.address_lists(key, key.allowed_ips.all())
        after = snapshots.address_lists(key, rows)
        return cls(
            opens=before[0] is not None and after[0] is None,
            locks_out=passes_lists(*before, address) and not passes_lists(*after, address),
        )

    @property
    def asks(self) -> bool:
        """Whether to ask before the change is made."""
        return self.opens or self.locks_out


class AllowedIPForm(ServiceForm):
    """One more address or range."""

    ALLOW, DENY = "allow", "deny"

    network = NetworkField(
        label=gettext_lazy("Address or range"),
        max_length=64,
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "class": "mono", "placeholder": "192.0.2.0/24"}
        ),
    )
    effect = forms.ChoiceField(
        label=gettext_lazy("Requests from there are"),
        choices=[(ALLOW, gettext_lazy("allowed")), (DENY, gettext_lazy("denied"))],
        initial=ALLOW,
    )
    comment = forms.CharField(
        label=gettext_lazy("Comment"),
        max_length=200,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    confirm_lockout = forms.BooleanField(
        label=gettext_lazy("I know that it will not work from here"), required=False
    )

    def __init__(self, *args: Any, key: APIKey, address: Address | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.key = key
        self.address = address
        self.needs_confirmation = False

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        network, effect = cleaned.get("network"), cleaned.get("effect")
        if network and effect:
            self._refuse_everywhere(network, effect)
            self._warn_of_lockout(network, effect)
        return cleaned

    def new_row(self) -> dict[str, Any]:
        """Return what was typed as arguments of `add_allowed_ip`."""
        return {
            "network": self.cleaned_data["network"],
            "deny": self.cleaned_data["effect"] == self.DENY,
            "comment": self.cleaned_data["comment"],
        }

    def _refuse_everywhere(self, network: str, effect: str) -> None:
        if networks.is_everywhere(network) and effect == self.ALLOW:
            self.add_error(
                "network",
                _("“%(network)s” means everywhere; leave the list empty for that.")
                % {"network": network},
            )

    def _warn_of_lockout(self, network: str, effect: str) -> None:
        row = AllowedIP(key=self.key, network=network, deny=effect == self.DENY)
        rows = [*self.key.allowed_ips.all(), row]
        if not Consequence.of(self.key, rows, self.address).locks_out:
            return
        self.needs_confirmation = True
        if not self.cleaned_data.get("confirm_lockout"):
            self.add_error(
                "confirm_lockout",
                _(
                    "Your own address, %(address)s, is then not let through. If that is what "
                    "you want, tick this and add the row again."
                )
                % {"address": self.address or _("which we cannot tell")},
            )
