"""How much keys were used."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from keys.models.fields import AmountField, FixedMoment


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
        days = {cls.DAILY: 1, cls.WEEKLY: 7, cls.MONTHLY: 31}[cls(str(reset))]
        try:
            inside_next = start + timedelta(days=days)
        except OverflowError:  # the calendar ends before the period does
            return None
        return cls.period_start(reset, inside_next)


# How often a spent limit is full again, from never to often.
RESETS = (None, LimitReset.MONTHLY, LimitReset.WEEKLY, LimitReset.DAILY)


@dataclass(frozen=True, slots=True)
class PeriodCosts:
    """What a key cost in the current UTC day, week (from Monday) and month."""

    daily: Decimal = Decimal(0)
    weekly: Decimal = Decimal(0)
    monthly: Decimal = Decimal(0)
    byok_daily: Decimal = Decimal(0)
    byok_weekly: Decimal = Decimal(0)
    byok_monthly: Decimal = Decimal(0)


def last_use(column: str) -> Coalesce:
    """Return when a key was used last, by that column, where keys that never were come first."""
    return Coalesce(column, FixedMoment(datetime(1970, 1, 1, tzinfo=UTC)))


class KeyUsage(models.Model):
    """The running totals of one key; changed only by what usage.py counts and charges."""

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
    # The key's own, for the index of those that have spent it.
    limit = AmountField(null=True, blank=True)

    class Meta:
        verbose_name = _("usage of a key")
        verbose_name_plural = _("usage of keys")
        indexes = [
            models.Index(last_use("last_used_at"), "key", name="usage_by_last_use"),
            models.Index(fields=["-key"], name="usage_none_yet", condition=Q(last_used_at=None)),
            models.Index(
                fields=["-key"], name="usage_spent", condition=Q(period_cost__gte=F("limit"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.requests} requests"

    def spent_in(self, period_start: datetime | None):
        """Return what counts against the limit in the period that began then."""
        return self.period_cost if self.period_start == period_start else AmountField().to_python(0)

    def left_of(self, limit: Decimal | None, reset: str | None, now: datetime) -> Decimal | None:
        """Return what is left of a limit at that moment, never below zero; None: no limit."""
        if limit is None:
            return None
        spent = self.spent_in(LimitReset.period_start(reset, now))
        return max(limit - spent, Decimal(0))


class UsageBucket(models.Model):
    """How often a key was judged by one of its secrets with one outcome in one hour."""

    # Found by the indexes below; one of each relation's own would only slow down counting.
    key = models.ForeignKey(
        "keys.APIKey", models.CASCADE, related_name="usage_buckets", db_index=False
    )
    secret = models.ForeignKey(
        "keys.KeySecret", models.CASCADE, related_name="usage_buckets", db_index=False
    )
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
        indexes = [models.Index(fields=["key", "hour"], name="usage_bucket_by_key")]
        constraints = [
            models.UniqueConstraint(
                fields=["secret", "hour", "outcome"], name="usage_bucket_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00 {self.outcome}: {self.requests}"


class MinuteBucket(models.Model):
    """How often a key was judged with one outcome in one minute; kept for some hours."""

    key = models.ForeignKey(
        "keys.APIKey", models.CASCADE, related_name="minute_buckets", db_index=False
    )
    minute = models.DateTimeField()
    # A verification.Code.
    outcome = models.CharField(max_length=32)
    requests = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name = _("usage by the minute")
        verbose_name_plural = _("usage by the minute")
        ordering = ["-minute", "outcome"]
        constraints = [
            models.UniqueConstraint(
                fields=["key", "minute", "outcome"], name="minute_bucket_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.outcome}: {self.requests}"


class OrganizationBucket(models.Model):
    """How often the keys of an organization were judged together with one outcome in one hour.

    The sum of their hours, but for what was charged and is not folded yet.
    """

    organization = models.ForeignKey(
        "keys.Organization", models.CASCADE, related_name="usage_buckets", db_index=False
    )
    hour = models.DateTimeField()
    # A verification.Code.
    outcome = models.CharField(max_length=32)
    requests = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name = _("hourly usage of an organization")
        verbose_name_plural = _("hourly usage of organizations")
        ordering = ["-hour", "outcome"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "hour", "outcome"], name="organization_bucket_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00 {self.outcome}: {self.requests}"


class OrganizationMinute(models.Model):
    """The same of one minute; kept for some hours."""

    organization = models.ForeignKey(
        "keys.Organization", models.CASCADE, related_name="minute_buckets", db_index=False
    )
    minute = models.DateTimeField()
    # A verification.Code.
    outcome = models.CharField(max_length=32)
    requests = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name = _("usage of an organization by the minute")
        verbose_name_plural = _("usage of organizations by the minute")
        ordering = ["-minute", "outcome"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "minute", "outcome"], name="organization_minute_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.outcome}: {self.requests}"


class ScopeUse(models.Model):
    """How often a key was let through for one of the scopes that it holds, and when last."""

    key = models.ForeignKey(
        "keys.APIKey", models.CASCADE, related_name="scope_uses", db_index=False
    )
    code = models.CharField(_("scope"), max_length=100)
    requests = models.PositiveBigIntegerField(_("requests"), default=0)
    last_used_at = models.DateTimeField(_("last used"))

    class Meta:
        verbose_name = _("use of a scope")
        verbose_name_plural = _("use of scopes")
        ordering = ["code"]
        constraints = [models.UniqueConstraint(fields=["key", "code"], name="scope_use_unique")]

    def __str__(self) -> str:
        return f"{self.code}: {self.requests}"


class Decision(models.Model):
    """One judgement of a key: what was asked, from where, and how it ended; the latest are kept.

    `method` and `path` (without a query) are of calls to the portal's own API; which request
    somebody else's service asks for, it does not say.
    """

    class Door(models.TextChoices):
        """How a key came to be judged."""

        API = "api", _("Call to this portal")
        VERIFY = "verify", _("Asked by a service")
        AUTH = "auth", _("Asked by a proxy")
        EXCHANGE = "exchange", _("Token exchange")

    id = models.BigAutoField(primary_key=True)
    key = models.ForeignKey(
        "keys.APIKey",
        models.CASCADE,
        related_name="decisions",
        db_index=False,
        verbose_name=_("API key"),
    )
    secret = models.ForeignKey(
        "keys.KeySecret", models.CASCADE, related_name="+", db_index=False, verbose_name=_("secret")
    )
    at = models.DateTimeField(_("when"))
    # A verification.Code.
    outcome = models.CharField(_("outcome"), max_length=32)
    address = models.GenericIPAddressField(_("from"), null=True, blank=True)
    user_agent = models.CharField(_("user agent"), max_length=200, blank=True)
    scopes = models.JSONField(_("scopes asked for"), default=list)
    method = models.CharField(_("method"), max_length=10, blank=True)
    path = models.CharField(_("path"), max_length=200, blank=True)
    door = models.CharField(_("door"), max_length=10, choices=Door)
    cost = AmountField(_("cost"), default=0)
    request_id = models.CharField(_("request"), max_length=64, blank=True)

    class Meta:
        verbose_name = _("decision")
        verbose_name_plural = _("decisions")
        ordering = ["-id"]
        indexes = [models.Index(fields=["key", "-id"], name="decision_by_key")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.outcome}"
