"""Where an organization wants to be told of what happens."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy

from keys.forms.fields import OnceForm, ServiceForm
from keys.models import Webhook
from keys.services.events import PUBLISHED


class WebhookForm(ServiceForm):
    """A webhook: its address, what it is for, and of which events it is told."""

    url = forms.CharField(
        label=gettext_lazy("Address"),
        max_length=500,
        help_text=gettext_lazy(
            "Where messages are posted to, such as https://example.com/hooks/keys. It must be "
            "reachable from the internet."
        ),
        widget=forms.URLInput(attrs={"autocomplete": "off", "class": "mono"}),
    )
    description = forms.CharField(
        label=gettext_lazy("Description"),
        max_length=200,
        required=False,
        help_text=gettext_lazy("What listens there, such as “Alerts in the chat”."),
    )
    events = forms.MultipleChoiceField(
        label=gettext_lazy("Events"),
        required=False,
        choices=list(PUBLISHED.items()),
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("None chosen: all of them, those of later versions too."),
    )

    @classmethod
    def values_of(cls, webhook: Webhook) -> dict[str, Any]:
        """Return what the form shows of a webhook."""
        return {
            "url": webhook.url,
            "description": webhook.description,
            "events": webhook.events,
        }


class NewWebhookForm(OnceForm, WebhookForm):
    """A new webhook, added once however often the form is sent."""


class WebhookSecretForm(OnceForm, ServiceForm):
    """That a webhook shall get a new secret, once."""
