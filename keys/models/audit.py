"""What happened, who did it, from where: appended, never altered, and chained so that it shows."""

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

# The chain of events that belong to no organization; the others have their organization's number.
INSTALLATION = 0


class AppendOnlyQuerySet(models.QuerySet):
    """Refuses to alter what happened."""

    def update(self, **kwargs):
        raise TypeError("Audit events are never altered.")

    def delete(self):
        raise TypeError("Audit events are never deleted.")


class AuditEvent(models.Model):
    """One change: who did what to which object, from where, and what it changed.

    Actor and object are kept as text too: the record outlives both. `changes` maps a
    field to its old and new value and never holds a secret.

    The events of an organization are a chain, those without one another: numbered without
    gaps, each with the hash of the one before (chain.py). `sequence` is None of an event that
    a release before that wrote, or somebody past the portal.
    """

    class Door(models.TextChoices):
        """Through which door a change came."""

        PAGE = "page", _("Page")
        API = "api", _("API")
        ADMIN = "admin", _("Staff admin")
        COMMAND = "command", _("Command line")

    organization = models.ForeignKey(
        "keys.Organization",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="audit_events",
        verbose_name=_("organization"),
    )
    at = models.DateTimeField(_("when"), default=timezone.now, editable=False)
    action = models.CharField(_("action"), max_length=60)
    actor_user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
    )
    actor_key = models.ForeignKey(
        "keys.APIKey",
        models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
    )
    actor_label = models.CharField(_("who"), max_length=300)
    object_type = models.CharField(_("kind of object"), max_length=60)
    object_id = models.CharField(_("number of the object"), max_length=64)
    object_label = models.CharField(_("what"), max_length=300)
    changes = models.JSONField(_("changes"), default=dict)
    door = models.CharField(_("door"), max_length=10, choices=Door)
    address = models.GenericIPAddressField(_("from"), null=True, blank=True)
    request_id = models.CharField(_("request"), max_length=64, blank=True)
    sequence = models.PositiveBigIntegerField(
        _("number in its chain"), null=True, blank=True, editable=False
    )
    previous_hash = models.CharField(
        _("hash of the one before"), max_length=64, blank=True, db_default="", editable=False
    )
    hash = models.CharField(_("hash"), max_length=64, blank=True, db_default="", editable=False)
    # Which key the hash was made with, by a name that tells nothing of it.
    signed_under = models.CharField(max_length=8, blank=True, db_default="", editable=False)

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        verbose_name = _("audit event")
        verbose_name_plural = _("audit events")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["organization", "-id"], name="audit_by_organization"),
            models.Index(fields=["object_type", "object_id", "-id"], name="audit_by_object"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "sequence"],
                condition=models.Q(sequence__isnull=False),
                name="audit_chain",
            ),
            models.UniqueConstraint(
                fields=["sequence"],
                condition=models.Q(organization=None),
                name="audit_chain_of_installation",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.actor_label}: {self.action} {self.object_label}"

    def save(self, *args, **kwargs):
        if not self._state.adding:
            raise TypeError("Audit events are never altered.")
        super().save(*args, **kwargs)

    def delete(self, *args, **kwargs):
        raise TypeError("Audit events are never deleted.")

    @property
    def chain(self) -> int:
        """The chain to which it belongs: its organization's number, or INSTALLATION."""
        return self.organization_id or INSTALLATION


class AuditHead(models.Model):
    """Where a chain of audit events ends, and where it begins once old events were removed.

    It is signed: a chain that was cut at either end does not fit its head.
    """

    chain = models.BigIntegerField(primary_key=True)
    # The newest event.
    sequence = models.PositiveBigIntegerField(_("events"), default=0)
    hash = models.CharField(_("hash"), max_length=64, blank=True)
    # The newest event that retention removed.
    anchor_sequence = models.PositiveBigIntegerField(_("removed"), default=0)
    anchor_hash = models.CharField(max_length=64, blank=True)
    anchored_at = models.DateTimeField(null=True, blank=True)
    # How far the chain was checked last, when, and the first thing that was wrong.
    verified_sequence = models.PositiveBigIntegerField(_("verified"), default=0)
    verified_at = models.DateTimeField(_("verified"), null=True, blank=True)
    problem = models.CharField(_("problem"), max_length=200, blank=True)
    signed_under = models.CharField(max_length=8)
    signature = models.CharField(max_length=64)

    class Meta:
        verbose_name = _("head of an audit chain")
        verbose_name_plural = _("heads of audit chains")

    def __str__(self) -> str:
        return f"{self.chain}: {self.sequence} {self.hash}"
