"""Keys that somebody found where they should not be."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from keys.models.keys import APIKey
from keys.models.organizations import Organization


class LeakOutcome(models.TextChoices):
    """What was done at once about a key that somebody found."""

    NOTIFY = "notify", _("People were told")
    DISABLE = "disable", _("The key was disabled")
    ROTATE = "rotate", _("The secret was stopped")
    NOTHING = "nothing", _("Nothing: it no longer worked")


class FoundSecret(models.Model):
    """What somebody handed in, until it is looked up: the same for every text that could be one.

    Whoever hands in learns nothing by it, not even by how long it takes.
    """

    # Of the secret, under each pepper, and as other systems may have kept it.
    digests = models.JSONField()
    source_url = models.CharField(max_length=500, blank=True)
    comment = models.CharField(max_length=500, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    door = models.CharField(max_length=10)
    request_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("found secret")
        verbose_name_plural = _("found secrets")
        ordering = ["id"]

    def __str__(self) -> str:
        return str(self.pk)


class LeakReport(models.Model):
    """That somebody found a secret of a key, where, and what was done. Never the secret."""

    organization = models.ForeignKey(
        Organization, models.CASCADE, related_name="leak_reports", verbose_name=_("organization")
    )
    key = models.ForeignKey(
        APIKey, models.CASCADE, related_name="leak_reports", verbose_name=_("API key")
    )
    label = models.CharField(_("secret"), max_length=40)
    reported_at = models.DateTimeField(_("reported"))
    # How often the same secret was reported, the first time included.
    times = models.PositiveIntegerField(_("times"), default=1)
    source_url = models.CharField(_("found at"), max_length=500, blank=True)
    comment = models.CharField(_("comment"), max_length=500, blank=True)
    reporter_address = models.GenericIPAddressField(_("reported from"), null=True, blank=True)
    action = models.CharField(_("what was done"), max_length=10, choices=LeakOutcome)
    settled_at = models.DateTimeField(_("settled"), null=True, blank=True)
    settled_by = models.CharField(_("settled by"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("leak report")
        verbose_name_plural = _("leak reports")
        ordering = ["-id"]
        indexes = [models.Index(fields=["organization", "-id"], name="leak_by_organization")]
        constraints = [
            models.UniqueConstraint(
                fields=["key", "label"],
                condition=models.Q(settled_at=None),
                name="leak_open_once",
            )
        ]

    def __str__(self) -> str:
        return self.label
