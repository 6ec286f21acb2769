"""What people choose to do with many keys at once."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys import networks
from keys.forms.fields import EXPIRY_DAYS, MomentField, NetworkField, OnceForm, days_choice
from keys.networks import Address
from keys.services import bulk
from keys.services.narrowing import Narrow


class SelectionForm(forms.Form):
    """Which keys, and what shall be done with them."""

    action = forms.ChoiceField(
        label=gettext_lazy("Change"),
        choices=[
            ("disable", gettext_lazy("Disable")),
            ("enable", gettext_lazy("Enable")),
            ("revoke", gettext_lazy("Revoke")),
            ("expire", gettext_lazy("Set expiry")),
            ("allow", gettext_lazy("Add allowed IP")),
            ("narrow", gettext_lazy("Drop unused scopes")),
        ],
    )

    @property
    def seen(self) -> dict[str, str]:
        """Identifier -> fingerprint of each key, as the preview showed it; empty before that."""
        values = (value.partition(":") for value in self.data.getlist("key"))
        return {identifier: fingerprint for identifier, _colon, fingerprint in values}

    def clean(self) -> dict[str, Any]:
        if not self.seen:
            raise ValidationError(_("Select at least one key first."))
        if len(self.seen) > bulk.MAX_KEYS:
            raise ValidationError(
                _("Select at most %(max)d keys at a time.") % {"max": bulk.MAX_KEYS}
            )
        return super().clean() or {}


class ChangeForm(forms.Form):
    """What else there is to say about a change; of most there is nothing.

    `address` is that of the person who asks, `server_networks` are the organization's.
    """

    change_class: type[bulk.BulkChange]

    def __init__(
        self,
        *args: Any,
        address: Address | None,
        server_networks: tuple[str, ...],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.address = address
        self.server_networks = server_networks

    @property
    def change(self) -> bulk.BulkChange:
        """The change as services take it."""
        return self.change_class()

    @property
    def answers(self) -> dict[str, str]:
        """What was said, such that it means the same when it is sent again later."""
        return {}


class DisableForm(ChangeForm):
    """Disable keys."""

    change_class = bulk.Disable


class EnableForm(ChangeForm):
    """Enable keys."""

    change_class = bulk.Enable


class RevokeForm(ChangeForm):
    """Revoke keys."""

    change_class = bulk.Revoke


class NarrowForm(ChangeForm):
    """Drop unused scopes."""

    change_class = Narrow


class ExpiryForm(ChangeForm):
    """When keys shall expire."""

    change_class = bulk.SetExpiry

    expiry = forms.ChoiceField(
        label=gettext_lazy("Expires"), widget=forms.RadioSelect, initial="90"
    )
    expires_at = MomentField(
        label=gettext_lazy("Expires at"), help_text=gettext_lazy("In UTC, as 2027-01-31 18:00.")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now = timezone.now().replace(second=0, microsecond=0)
        self.fields["expiry"].choices = [
            *(days_choice(days, self.now) for days in EXPIRY_DAYS),
            ("custom", _("Another date")),
            ("never", _("Never")),
        ]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        choice = cleaned.get("expiry")
        if choice == "never":
            cleaned["expires_at"] = None
        elif choice and choice != "custom":
            cleaned["expires_at"] = self.now + timedelta(days=int(choice))
        elif choice and "expires_at" not in self.errors:
            self._check(cleaned.get("expires_at"))
        return cleaned

    @property
    def change(self) -> bulk.BulkChange:
        return bulk.SetExpiry(self.cleaned_data["expires_at"])

    @property
    def answers(self) -> dict[str, str]:
        expires_at = self.cleaned_data["expires_at"]
        if expires_at is None:
            return {"expiry": "never"}
        return {"expiry": "custom", "expires_at": expires_at.strftime(MomentField.FORMAT)}

    def _check(self, expires_at: datetime | None) -> None:
        if expires_at is None:
            self.add_error("expires_at", _("Say when, as 2027-01-31 18:00."))
        elif expires_at <= timezone.now():
            self.add_error(
                "expires_at",
                _("Choose a moment in the future; it is now %(now)s UTC.")
                % {"now": f"{self.now:%Y-%m-%d %H:%M}"},
            )


class AllowForm(ChangeForm):
    """From where keys may be used as well."""

    change_class = bulk.AllowNetwork

    network = NetworkField(
        label=gettext_lazy("Address or range"),
        max_length=100,
        help_text=gettext_lazy("Such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32."),
    )
    comment = forms.CharField(
        label=gettext_lazy("Comment"),
        max_length=200,
        required=False,
        help_text=gettext_lazy("What is there, such as “Office”."),
    )
    may_lock_out = forms.BooleanField(
        label=gettext_lazy("Also change keys that then no longer work from my own address"),
        required=False,
    )

    def clean_network(self) -> str:
        network = self.cleaned_data["network"]
        if networks.is_everywhere(network):
            raise ValidationError(
                _("“%(network)s” means everywhere: a key without allowed IPs has that already.")
                % {"network": network}
            )
        return network

    @property
    def change(self) -> bulk.BulkChange:
        return bulk.AllowNetwork(
            **self.cleaned_data,
            address=self.address,
            server_networks=self.server_networks,
        )

    @property
    def answers(self) -> dict[str, str]:
        answers = {name: self.cleaned_data[name] for name in ("network", "comment")}
        return answers | ({"may_lock_out": "on"} if self.cleaned_data["may_lock_out"] else {})


CHANGE_FORMS: dict[str, type[ChangeForm]] = {
    "disable": DisableForm,
    "enable": EnableForm,
    "revoke": RevokeForm,
    "expire": ExpiryForm,
    "allow": AllowForm,
    "narrow": NarrowForm,
}


class ConfirmForm(OnceForm):
    """The answer to a preview."""
