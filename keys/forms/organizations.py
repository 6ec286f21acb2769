"""What people decide about an organization."""

from django import forms
from django.utils.translation import gettext_lazy

from keys.forms.fields import OnceForm


class SharedSecretForm(OnceForm):
    """What to do with an organization's shared secret."""

    REVEAL, REPLACE = "reveal", "replace"

    action = forms.ChoiceField(choices=[(REVEAL, REVEAL), (REPLACE, REPLACE)])


class ServerAddressForm(forms.Form):
    """An address or range of the organization's servers; the service checks it."""

    network = forms.CharField(
        label=gettext_lazy("Address or range"),
        max_length=64,
        help_text=gettext_lazy("Such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "class": "mono"}),
    )
    comment = forms.CharField(
        label=gettext_lazy("Comment"),
        max_length=200,
        required=False,
        help_text=gettext_lazy("Which servers these are."),
    )
