"""Where an organization wants to be told of what happens to its keys, and how that went."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from keys import secrets
from keys.models.organizations import Organization


class Webhook(models.Model):
    """An address of an organization that is told what happens, by signed requests.

    Its secret is encrypted: the portal needs it to sign. `old_secret` signs beside it until
    `old_secret_until`, so that receivers can change over.
    """

    organization = models.ForeignKey(
        Organization, models.CASCADE, related_name="webhooks", verbose_name=_("organization")
    )
    url = models.CharField(_("address"), max_length=500)
    description = models.CharField(_("description"), max_length=200, blank=True)
    # Which events it is told of; none: all.
    events = models.JSONField(_("events"), default=list, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    sealed_secret = models.CharField(max_length=255, editable=False)
    sealed_old_secret = models.CharField(max_length=255, blank=True, editable=False)
    old_secret_until = models.DateTimeField(null=True, blank=True, editable=False)
    # Since when each delivery failed; None while they succeed.
    failing_since = models.DateTimeField(_("failing since"), null=True, blank=True)
    # Not asked before then: it did not answer.
    paused_until = models.DateTimeField(null=True, blank=True, editable=False)
    # When the portal itself switched it off.
    stopped_at = models.DateTimeField(_("switched off"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    # The new secret, on the instance that a reply shows once.
    secret: str

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.description or self.url

    def wants(self, event: str) -> bool:
        """Say whether it is to be told of this event."""
        return not self.events or event in self.events


class WebhookDelivery(models.Model):
    """One message to one webhook: what is sent, until it arrives, and what was answered last.

    `next_at` is when it is due; whoever sends it moves that on first, so that nobody else does.
    """

    class State(models.TextChoices):
        """What became of it."""

        WAITING = "waiting", _("Waiting")
        DELIVERED = "delivered", _("Delivered")
        GIVEN_UP = "given_up", _("Given up")

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries")
    # The same each time that it is sent.
    message_id = models.CharField(
        _("message"), max_length=40, db_index=True, default=secrets.generate_message_id
    )
    event = models.CharField(_("event"), max_length=60)
    body = models.TextField(_("request"))
    state = models.CharField(
        _("state"), max_length=10, choices=State, default=State.WAITING, editable=False
    )
    created_at = models.DateTimeField(_("created"))
    next_at = models.DateTimeField(_("due"), null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    attempted_at = models.DateTimeField(_("last attempt"), null=True, blank=True)
    milliseconds = models.PositiveIntegerField(null=True, blank=True)
    status = models.PositiveSmallIntegerField(_("status"), null=True, blank=True)
    # The beginning of what was answered.
    response = models.TextField(_("response"), blank=True)
    error = models.CharField(_("error"), max_length=40, blank=True)

    class Meta:
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["next_at", "id"],
                name="webhook_delivery_due",
                condition=Q(next_at__isnull=False),
            ),
            models.Index(fields=["webhook", "-id"], name="webhook_delivery_log"),
            models.Index(fields=["created_at"], name="webhook_delivery_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.message_id}"
