"""What a key is presented as, and where it may be used from."""

from datetime import datetime, timedelta

from django.db import models
from django.utils.translation import gettext_lazy as _

from keys import networks, secrets
from keys.models.fields import present
from keys.models.keys import APIKey
from keys.models.organizations import validate_network


class KeySecret(models.Model):
    """One secret of a lineage, as a keyed digest. Rotation adds one and retires the old."""

    key = models.ForeignKey(APIKey, models.CASCADE, related_name="secrets")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    pepper_id = models.PositiveSmallIntegerField(editable=False)
    label = models.CharField(_("label"), max_length=40, editable=False)
    # Carried by the session tokens of this secret, so that what signs them mints none alone.
    nonce = models.CharField(max_length=32, default=secrets.generate_nonce, editable=False)
    created_at = models.DateTimeField(_("created"), default=present, editable=False)
    superseded_at = models.DateTimeField(_("replaced"), null=True, blank=True)
    retires_at = models.DateTimeField(_("retires"), null=True, blank=True)
    quiet_hours = models.PositiveSmallIntegerField(
        _("ends after hours without use"), null=True, blank=True
    )
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)

    class Meta:
        verbose_name = _("secret")
        verbose_name_plural = _("secrets")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.label

    @property
    def ends_at(self) -> datetime | None:
        """When a replaced secret stops working, as far as its use until now says; else None."""
        if self.superseded_at is None:
            return self.retires_at
        quiet_at = self._quiet_at(self.superseded_at)
        return min((end for end in (self.retires_at, quiet_at) if end is not None), default=None)

    def works_at(self, now: datetime) -> bool:
        """Say whether the secret opens its key at that moment, if anything does."""
        return self.revoked_at is None and (self.ends_at is None or self.ends_at > now)

    def _quiet_at(self, superseded_at: datetime) -> datetime | None:
        if self.quiet_hours is None:
            return None
        last_sign = max(superseded_at, self.last_used_at or superseded_at)
        return last_sign + timedelta(hours=self.quiet_hours)


class AllowedIP(models.Model):
    """An address or range from which a key may be used, or (deny) may not."""

    key = models.ForeignKey(APIKey, models.CASCADE, related_name="allowed_ips")
    network = models.CharField(_("address or range"), max_length=49, validators=[validate_network])
    deny = models.BooleanField(
        _("deny"), default=False, help_text=_("Refuse this address even if another row allows it.")
    )
    comment = models.CharField(_("comment"), max_length=200, blank=True)
    active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("allowed IP")
        verbose_name_plural = _("allowed IPs")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["key", "network", "deny"],
                name="allowed_ip_unique",
                violation_error_message=_("This address is listed already."),
            )
        ]

    def __str__(self) -> str:
        return f"{'not ' if self.deny else ''}{self.network}"

    def save(self, *args, **kwargs):
        # One spelling a network, so that the constraint sees duplicates.
        self.network = networks.canonical_network(self.network)
        super().save(*args, **kwargs)

    @property
    def line(self) -> str:
        """The row as a line of text, with what is said about it."""
        text = str(self) if self.active else f"{self} (inactive)"
        return f"{text} # {self.comment}" if self.comment else text
