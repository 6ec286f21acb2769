"""Secrets that other systems made: how they look, and what those systems kept of them."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from keys.foreign import ALPHABETS, Scheme, Shape
from keys.models.secrets import KeySecret

_SCHEMES = {
    Scheme.PLAIN: _("the secret itself"),
    Scheme.SHA256: "SHA-256",
    Scheme.SHA512: "SHA-512",
    Scheme.NETBOX: "HMAC-SHA256 (NetBox)",
}


class ImportedFormat(models.Model):
    """How imported secrets look: of what is presented, only such texts are looked for."""

    scheme = models.CharField(
        _("digests"), max_length=8, choices=[(each.value, name) for each, name in _SCHEMES.items()]
    )
    prefix = models.CharField(_("prefix"), max_length=44, blank=True)
    alphabet = models.CharField(
        _("characters"), max_length=8, choices=[(name, name) for name in ALPHABETS]
    )
    shortest = models.PositiveSmallIntegerField(_("shortest"))
    longest = models.PositiveSmallIntegerField(_("longest"))
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("format of imported secrets")
        verbose_name_plural = _("formats of imported secrets")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["scheme", "prefix", "alphabet"], name="imported_format_unique"
            ),
            models.CheckConstraint(
                condition=Q(shortest__gte=1, shortest__lte=F("longest")),
                name="imported_format_lengths",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.scheme})"

    @property
    def shape(self) -> Shape:
        scheme = Scheme(self.scheme)
        return Shape(scheme, self.prefix, self.alphabet, self.shortest, self.longest)


class ImportedSecret(models.Model):
    """Where a secret is from that another system made, by which a second import knows it."""

    secret = models.OneToOneField(
        KeySecret, models.CASCADE, primary_key=True, related_name="imported"
    )
    format = models.ForeignKey(ImportedFormat, models.PROTECT, related_name="secrets")
    # What the other system kept, wrapped under that pepper; null where the secret itself was
    # given. It stays when the secret is rewrapped at its first use.
    digest = models.CharField(  # noqa: DJ001
        max_length=64, unique=True, null=True, editable=False
    )
    pepper_id = models.PositiveSmallIntegerField(editable=False)

    class Meta:
        verbose_name = _("imported secret")
        verbose_name_plural = _("imported secrets")

    def __str__(self) -> str:
        return str(self.secret)
