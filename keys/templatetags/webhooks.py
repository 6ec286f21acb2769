"""What became of messages to webhooks, in words."""

from django import template
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from keys.models import Webhook, WebhookDelivery
from keys.receivers import REASONS
from keys.services.events import PUBLISHED, TEST

register = template.Library()

_TONES = {
    WebhookDelivery.State.WAITING: "neutral",
    WebhookDelivery.State.DELIVERED: "success",
    WebhookDelivery.State.GIVEN_UP: "danger",
}


@register.simple_tag
def delivery_state(delivery: WebhookDelivery) -> SafeString:
    """Show what became of a delivery."""
    state = WebhookDelivery.State(delivery.state)
    is_failing = state is WebhookDelivery.State.WAITING and delivery.attempted_at
    tone = "warning" if is_failing else _TONES[state]
    label = _("Failed, tried again") if is_failing else state.label
    return format_html('<span class="pill pill--{}">{}</span>', tone, label)


@register.simple_tag
def webhook_state(webhook: Webhook) -> SafeString:
    """Show whether a webhook takes what is sent."""
    if webhook.stopped_at:
        tone, label = "danger", _("Switched off: it failed for days")
    elif not webhook.enabled:
        tone, label = "neutral", _("Disabled")
    elif webhook.failing_since:
        tone, label = "warning", _("Failing")
    else:
        tone, label = "success", _("Enabled")
    return format_html('<span class="pill pill--{}">{}</span>', tone, label)


@register.filter
def delivery_problem(delivery: WebhookDelivery) -> str | Promise:
    """Return why a delivery failed, or an empty text."""
    if delivery.error == "sealed":
        return _("The pepper that sealed the secret is gone: give the webhook a new secret.")
    if delivery.error:
        return REASONS.get(delivery.error, delivery.error)
    if delivery.status and 300 <= delivery.status < 400:
        return _("It answered with a redirect, which is not followed: enter where it leads.")
    return ""


@register.filter
def event_words(event: str) -> str | Promise:
    """Return what an event means."""
    return _("A test") if event == TEST else PUBLISHED.get(event, event)
