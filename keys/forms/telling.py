"""Which mails a person wants, and what somebody found."""

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy

from keys.forms.fields import ServiceForm
from keys.models import NotificationSettings
from keys.models.messages import ALWAYS_SENT, Kind


class NotificationsForm(ServiceForm):
    """The kinds of mails that a person wants, and their language."""

    wanted = forms.MultipleChoiceField(
        label=gettext_lazy("Send me a mail when"),
        required=False,
        choices=[each for each in Kind.choices if each[0] not in ALWAYS_SENT],
        widget=forms.CheckboxSelectMultiple,
    )
    language = forms.ChoiceField(
        label=gettext_lazy("Language of the mails"), required=False, choices=settings.LANGUAGES
    )

    shown_at = {"unwanted": "wanted"}

    @classmethod
    def values_of(cls, chosen: NotificationSettings | None) -> dict[str, Any]:
        """Return what the form shows to a person who chose this, or nothing yet."""
        unwanted = chosen.unwanted if chosen else []
        language = chosen.language if chosen else ""
        return {
            "wanted": [each for each in Kind if each not in unwanted],
            "language": language or settings.LANGUAGE_CODE,
        }

    def changes(self) -> dict[str, Any]:
        """Return the choice as the service takes it."""
        kinds = set(Kind) - ALWAYS_SENT
        return {
            "unwanted": kinds - set(self.cleaned_data["wanted"]),
            "language": self.cleaned_data["language"],
        }


class FoundForm(ServiceForm):
    """A key that somebody found; it is never shown back."""

    secret = forms.CharField(
        label=gettext_lazy("The key, all of it"),
        max_length=512,
        help_text=gettext_lazy("It is used to find whose it is, and not stored."),
        widget=forms.PasswordInput(
            attrs={"autocomplete": "off", "spellcheck": "false", "class": "mono"}
        ),
    )
    source_url = forms.CharField(
        label=gettext_lazy("Where it was found"),
        max_length=500,
        required=False,
        help_text=gettext_lazy("A web address, for example. Leave out the key itself."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    comment = forms.CharField(
        label=gettext_lazy("Anything else"),
        max_length=500,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
