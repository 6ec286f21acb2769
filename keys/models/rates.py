"""How often a key, or all keys of an organization together, may be used."""

from collections.abc import Iterable

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from keys.models.keys import APIKey
from keys.models.organizations import Organization


class Period(models.TextChoices):
    """The windows in which uses are counted against a rate limit."""

    SECOND = "second", _("a second")
    MINUTE = "minute", _("a minute")
    HOUR = "hour", _("an hour")
    DAY = "day", _("a day")

    @property
    def seconds(self) -> int:
        """How long the window is."""
        return {Period.SECOND: 1, Period.MINUTE: 60, Period.HOUR: 3600, Period.DAY: 86400}[self]


def is_kept_by(bound: tuple[int, str], limits: Iterable[tuple[int, str]]) -> bool:
    """Say whether whoever keeps these limits, each (amount, period), keeps `bound` as well."""
    amount, period = bound
    seconds = Period(period).seconds
    return any(each * max(1, seconds // Period(other).seconds) <= amount for each, other in limits)


def shortest_first(rows: Iterable["RateLimit"]) -> list["RateLimit"]:
    """Return rate limits in the order in which people name them."""
    return sorted(rows, key=lambda row: Period(row.period).seconds)


class RateLimit(models.Model):
    """That no more than so many uses are accepted in any period; of a key, or an organization.

    Several periods may bound one key at the same time; each counts by itself.
    """

    organization = models.ForeignKey(
        Organization,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="rate_limits",
        verbose_name=_("organization"),
    )
    key = models.ForeignKey(
        APIKey,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="rate_limits",
        verbose_name=_("API key"),
    )
    amount = models.PositiveIntegerField(
        _("requests"), validators=[MinValueValidator(1, _("At least one request."))]
    )
    period = models.CharField(_("per"), max_length=6, choices=Period)

    class Meta:
        verbose_name = _("rate limit")
        verbose_name_plural = _("rate limits")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["key", "period"],
                name="rate_limit_of_key_unique",
                violation_error_message=_("There is a rate limit for this period."),
            ),
            models.UniqueConstraint(
                fields=["organization", "period"],
                name="rate_limit_of_organization_unique",
                violation_error_message=_("There is a rate limit for this period."),
            ),
            models.CheckConstraint(
                condition=Q(key=None, organization__isnull=False)
                | Q(key__isnull=False, organization=None),
                name="rate_limit_of_key_or_organization",
            ),
            models.CheckConstraint(condition=Q(amount__gte=1), name="rate_limit_of_one_at_least"),
            models.CheckConstraint(
                condition=Q(period__in=Period.values), name="rate_limit_known_period"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount}/{self.period}"
