"""What is said when a key or one of its secrets is stopped."""

from django import forms
from django.utils.translation import gettext_lazy

from keys.models import APIKey
from keys.services.rotation import MAX_QUIET_HOURS


class LockForm(forms.Form):
    """Why staff lock a key."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=APIKey._meta.get_field("lock_reason").max_length,
        required=False,
        help_text=gettext_lazy("Shown to the organization, so that it knows what to do."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class QuietForm(forms.Form):
    """After how many hours without use an old secret ends."""

    hours = forms.IntegerField(min_value=1, max_value=MAX_QUIET_HOURS)
