"""What people decide about an organization."""

from django import forms
from django.utils.translation import gettext_lazy

from keys.forms.fields import OnceForm, ServiceForm


class SharedSecretForm(OnceForm, ServiceForm):
    """What to do with an organization's shared secret."""

    REVEAL, REPLACE = "reveal", "replace"

    action = forms.ChoiceField(choices=[(REVEAL, REVEAL), (REPLACE, REPLACE)])


class WorkspaceForm(ServiceForm):
    """A workspace: it has a name."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=120,
        help_text=gettext_lazy("Such as “Production” or “Partner integrations”."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
