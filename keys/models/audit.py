"""What happened, who did it, from where: appended, never altered."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


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
    at = models.DateTimeField(_("when"), auto_now_add=True)
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

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        verbose_name = _("audit event")
        verbose_name_plural = _("audit events")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["organization", "-id"], name="audit_by_organization"),
            models.Index(fields=["object_type", "object_id", "-id"], name="audit_by_object"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_label}: {self.action} {self.object_label}"

    def save(self, *args, **kwargs):
        if not self._state.adding:
            raise TypeError("Audit events are never altered.")
        super().save(*args, **kwargs)

    def delete(self, *args, **kwargs):
        raise TypeError("Audit events are never deleted.")
