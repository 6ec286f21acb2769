"""How much keys were used."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import models
from django.utils.translation import gettext_lazy as _

from keys.models.fields import AmountField


class LimitReset(models.TextChoices):
    """When a spent limit is full again: at 00:00 UTC of each day, Monday or first of the month."""

    DAILY = "daily", _("every day")
    WEEKLY = "weekly", _("every week")
    MONTHLY = "monthly", _("every month")

    @staticmethod
    def period_start(reset: "str | None", now: datetime) -> datetime | None:
        """Return when the period that holds `now` (aware, UTC) began; None: it never resets."""
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        match reset:
            case LimitReset.DAILY:
                return midnight
            case LimitReset.WEEKLY:
                return midnight - timedelta(days=now.weekday())
            case LimitReset.MONTHLY:
                return midnight.replace(day=1)
        return None

    @classmethod
    def period_end(cls, reset: "str | None", now: datetime) -> datetime | None:
        """Return when the period that holds `now` is over and the limit full again; None: never."""
        start = cls.period_start(reset, now)
        if start is None:
            return None
        # Some moment of the next period, brought back to when that begins.
        days = {cls.DAILY: 1, cls.WEEKLY: 7, cls.MONTHLY: 31}[cls(str(reset))]
        return cls.period_start(reset, start + timedelta(days=days))


@dataclass(frozen=True, slots=True)
class PeriodCosts:
    """What a key cost in the current UTC day, week (from Monday) and month."""

    daily: Decimal = Decimal(0)
    weekly: Decimal = Decimal(0)
    monthly: Decimal = Decimal(0)
    byok_daily: Decimal = Decimal(0)
    byok_weekly: Decimal = Decimal(0)
    byok_monthly: Decimal = Decimal(0)


class KeyUsage(models.Model):
    """The running totals of one key; changed only by `usage.record`."""

    key = models.OneToOneField(
        "keys.APIKey", models.CASCADE, primary_key=True, related_name="totals"
    )
    requests = models.PositiveBigIntegerField(_("accepted requests"), default=0)
    refused = models.PositiveBigIntegerField(_("refused requests"), default=0)
    cost = AmountField(_("cost"), default=0)
    byok_cost = AmountField(_("cost with own provider keys"), default=0)
    # What counted against the limit since `period_start` (None: ever).
    period_start = models.DateTimeField(null=True, blank=True)
    period_cost = AmountField(default=0)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    last_address = models.GenericIPAddressField(_("last address"), null=True, blank=True)
    last_user_agent = models.CharField(_("last user agent"), max_length=200, blank=True)
    # A login is an exchange of the key for tokens; other use is none.
    last_login_at = models.DateTimeField(_("last login"), null=True, blank=True)
    last_login_address = models.GenericIPAddressField(_("last login from"), null=True, blank=True)

    class Meta:
        verbose_name = _("usage of a key")
        verbose_name_plural = _("usage of keys")

    def __str__(self) -> str:
        return f"{self.requests} requests"

    def spent_in(self, period_start: datetime | None):
        """Return what counts against the limit in the period that began then."""
        return self.period_cost if self.period_start == period_start else AmountField().to_python(0)


class UsageBucket(models.Model):
    """How often a key was judged with one outcome in one hour, and what that cost."""

    key = models.ForeignKey("keys.APIKey", models.CASCADE, related_name="usage_buckets")
    hour = models.DateTimeField()
    # A verification.Code.
    outcome = models.CharField(max_length=32)
    requests = models.PositiveBigIntegerField(default=0)
    cost = AmountField(default=0)
    byok_cost = AmountField(default=0)

    class Meta:
        verbose_name = _("hourly usage")
        verbose_name_plural = _("hourly usage")
        ordering = ["-hour", "outcome"]
        constraints = [
            models.UniqueConstraint(fields=["key", "hour", "outcome"], name="usage_bucket_unique")
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00 {self.outcome}: {self.requests}"
