"""API keys: the lineage, whatever becomes of its secrets."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Exists, F, OuterRef, Q, Value
from django.db.models.functions import Coalesce, Lower
from django.db.models.lookups import Exact, GreaterThan, LessThanOrEqual
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from keys import secrets
from keys.models.fields import AmountField, FixedMoment, present
from keys.models.organizations import Organization, Role, Scope, Workspace
from keys.models.usage import LimitReset, PeriodCosts
from keys.roles import BuiltInScope

if TYPE_CHECKING:
    from keys.models.secrets import KeySecret

# People are warned this long before a key expires.
EXPIRES_SOON = timedelta(days=14)

# When a key ends, where keys that never do come last.
_NEVER = FixedMoment(datetime(9999, 1, 1, tzinfo=UTC))
END = Coalesce("expires_at", _NEVER)


def ends_by(moment: datetime) -> Q:
    """Select the keys that end at that moment or before it."""
    return Q(LessThanOrEqual(END, Value(moment)))


def never_ends() -> Q:
    """Select the keys without an end."""
    # The first condition is that of an index, which finds all of them and hardly others.
    return Q(Exact(END, _NEVER)) & Q(expires_at=None)


def is_spent(now: datetime) -> Q:
    """Select the keys of which `key.remaining_at(now)` is zero: their limit is reached."""
    counts = Q(limit_reset=None, totals__period_start=None)
    for reset in LimitReset:
        start = LimitReset.period_start(reset, now)
        counts |= Q(limit_reset=reset, totals__period_start=start)
    # The first condition is that of an index, which finds all of them and few others.
    spent = Q(totals__period_cost__gte=F("totals__limit"))
    return spent & (Q(limit=0) | counts)


def ends_soon(now: datetime) -> Q:
    """Select the keys that end within EXPIRES_SOON of that moment, but not before it."""
    return Q(GreaterThan(END, Value(now))) & ends_by(now + EXPIRES_SOON)


# Wide enough for the names that vendors' clients give (`appname`), and such that a name
# comes back as it was when it is part of a URL's path.
validate_short_name = RegexValidator(
    r"^(?!\.{1,2}\Z)(?! )[A-Za-z0-9._~@+ -]+(?<! )\Z",
    _("Use letters, digits, the characters - _ . ~ @ + and spaces inside."),
)


class Dialect(models.TextChoices):
    """The dialect in which a key was born; it decides how its secrets look."""

    NATIVE = "native", "Keyhaven"
    OPENROUTER = "openrouter", "OpenRouter"
    I3D = "i3d", "i3D.net"
    NETOGRAPHY = "netography", "Netography"
    XYRA = "xyra", "XyraPanel"


class Status(models.TextChoices):
    """What a key is right now, in the order in which the reasons count."""

    REVOKED = "revoked", _("Revoked")
    LOCKED = "locked", _("Locked by staff")
    DISABLED = "disabled", _("Disabled")
    EXPIRED = "expired", _("Expired")
    PENDING = "pending", _("Not yet valid")
    ACTIVE = "active", _("Active")


class APIKeyQuerySet(models.QuerySet["APIKey"]):
    """Sets of keys."""

    def live(self) -> "APIKeyQuerySet":
        """Return the keys that are not revoked; a revoked key is history."""
        return self.filter(revoked_at=None)

    def with_status(self, status: str, now: datetime) -> "APIKeyQuerySet":
        """Return the keys of which `key.status_at(now)` is this."""
        # What holds of such keys, and what of all others; spelled as in the indexes.
        rules = {
            Status.REVOKED: (Q(revoked_at__isnull=False), Q(revoked_at=None)),
            Status.LOCKED: (Q(locked_at__isnull=False), Q(locked_at=None)),
            Status.DISABLED: (Q(disabled=True), Q(disabled=False)),
            Status.EXPIRED: (ends_by(now), Q(expires_at=None) | Q(expires_at__gt=now)),
            Status.PENDING: (Q(not_before__gt=now), Q(not_before=None) | Q(not_before__lte=now)),
            Status.ACTIVE: (Q(), Q()),
        }
        matching = self
        for each, (rule, others) in rules.items():
            if each == status:
                return matching.filter(rule)
            matching = matching.filter(others)
        raise ValueError(f"Unknown status {status!r}.")

    def expiring_soon(self, now: datetime) -> "APIKeyQuerySet":
        """Return the keys of which `key.expires_soon_at(now)` is true."""
        return self.live().filter(ends_soon(now))

    def enabled(self) -> "APIKeyQuerySet":
        """Return the keys of which `key.is_enabled`."""
        return self.filter(disabled=False, locked_at=None)

    def unexpired(self, now: datetime) -> "APIKeyQuerySet":
        """Return the keys whose end, if they have one, is still to come."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now))

    def spent(self, now: datetime) -> "APIKeyQuerySet":
        """Return the keys of which `key.remaining_at(now)` is zero: their limit is reached."""
        return self.filter(is_spent(now))

    def ordinary(self) -> "APIKeyQuerySet":
        """Return the keys that are not `key.is_management`."""
        manage = BuiltInScope.MANAGE
        listed = APIKey.scopes.through.objects.filter(apikey=OuterRef("pk"), scope__code=manage)
        followed = Role.scopes.through.objects.filter(role=OuterRef("role"), scope__code=manage)
        return self.filter(~Exists(listed), ~Exists(followed))

    def with_details(self, *, known: Collection[str] = ()) -> "APIKeyQuerySet":
        """Load what a door shows of a key, in a constant number of queries.

        But no lists that are `known`, for which the caller uses know().
        """
        lists = ("scopes", "role__scopes", "allowed_ips", "rate_limits", "secrets")
        return self.select_related(
            "organization", "workspace", "owner", "creator", "role", "totals"
        ).prefetch_related(*(name for name in lists if name not in known))


def know(key: "APIKey", name: str, rows: Iterable[models.Model]) -> None:
    """Let a key have these rows in one of its lists, as if they had been prefetched."""
    found = getattr(key, name).get_queryset()
    found._result_cache, found._prefetch_done = list(rows), True
    key.__dict__.setdefault("_prefetched_objects_cache", {})[name] = found


class APIKey(models.Model):
    """The lineage of a key: everything that survives a rotation of its secret.

    It follows a role or lists scopes of its own, never both. `owner` is the person it
    acts for; without one it is the organization's and outlives people.
    """

    id = models.BigAutoField(primary_key=True)
    identifier = models.CharField(
        _("identifier"),
        max_length=24,
        unique=True,
        editable=False,
        default=secrets.generate_identifier,
    )
    hash = models.CharField(
        _("hash"), max_length=64, unique=True, editable=False, default=secrets.generate_public_hash
    )
    organization = models.ForeignKey(
        Organization, models.PROTECT, related_name="api_keys", verbose_name=_("organization")
    )
    workspace = models.ForeignKey(
        Workspace, models.PROTECT, related_name="api_keys", verbose_name=_("workspace")
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="api_keys",
        verbose_name=_("owner"),
        help_text=_("The person the key acts for; empty: the organization itself."),
    )
    creator = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("created by"),
    )
    name = models.CharField(_("name"), max_length=200)
    slug = models.CharField(_("short name"), max_length=63, validators=[validate_short_name])
    description = models.CharField(_("description"), max_length=500, blank=True)
    dialect = models.CharField(_("format"), max_length=12, choices=Dialect, default=Dialect.NATIVE)
    role = models.ForeignKey(
        Role, models.PROTECT, null=True, blank=True, related_name="api_keys", verbose_name=_("role")
    )
    scopes: models.ManyToManyField = models.ManyToManyField(
        Scope, blank=True, related_name="api_keys", verbose_name=_("scopes")
    )

    not_before = models.DateTimeField(_("valid from"), null=True, blank=True)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    disabled = models.BooleanField(_("disabled"), default=False)
    locked_at = models.DateTimeField(_("locked by staff"), null=True, blank=True)
    lock_reason = models.CharField(_("why staff locked it"), max_length=200, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    limit = AmountField(_("limit"), null=True, blank=True)
    # Null, as on the wire: "never" is no text.
    limit_reset = models.CharField(  # noqa: DJ001
        _("limit resets"), max_length=8, choices=LimitReset, null=True, blank=True
    )
    include_byok_in_limit = models.BooleanField(
        _("own provider keys count against the limit"), default=False
    )
    assign_server_ips = models.BooleanField(
        _("allow the organization's server addresses"), default=False
    )
    # The reference of whoever builds on us; we keep it for them (OpenRouter's `external`).
    external_user = models.CharField(  # noqa: DJ001
        _("external user"), max_length=200, null=True, blank=True
    )

    # Not `auto_now_add`: what is imported keeps its date.
    created_at = models.DateTimeField(_("created"), default=present, editable=False)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    objects = APIKeyQuerySet.as_manager()

    # As request.user of an API call, a key answers as Django expects of a user.
    is_authenticated = True
    is_anonymous = False
    is_active = True
    is_staff = False
    is_superuser = False

    # The new secret, on the instance that issue_key() or rotate_key() returns. Unset
    # everywhere else, so that a read-only serializer field shows it just once.
    secret: str
    # What was found along with the key, where listing.with_lists() was asked; else None.
    known_scopes: list[tuple[int, str]] | None = None
    known_rate_limits: list[tuple[int, str]] | None = None
    known_label: str | None = None
    # What the key cost in the current day, week and month, where usage.load_period_costs()
    # was asked.
    period_costs: PeriodCosts

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["organization", "-id"], name="apikey_by_organization"),
            models.Index(fields=["organization", "owner", "-id"], name="apikey_by_owner"),
            models.Index(fields=["workspace", "-id"], name="apikey_by_workspace"),
            models.Index(fields=["organization", "dialect", "-id"], name="apikey_by_dialect"),
            models.Index("organization", Lower("name"), "id", name="apikey_by_name"),
            models.Index("organization", END, "id", name="apikey_by_end"),
            # What there may be few of among very many.
            models.Index(
                fields=["organization", "-id"], name="apikey_live", condition=Q(revoked_at=None)
            ),
            models.Index(
                fields=["organization", "-id"],
                name="apikey_revoked",
                condition=Q(revoked_at__isnull=False),
            ),
            models.Index(
                fields=["organization", "-id"],
                name="apikey_disabled",
                condition=Q(revoked_at=None, disabled=True),
            ),
            models.Index(
                fields=["organization", "-id"],
                name="apikey_locked",
                condition=Q(revoked_at=None, locked_at__isnull=False),
            ),
            models.Index(
                fields=["organization", "-id"],
                name="apikey_pending",
                condition=Q(revoked_at=None, not_before__isnull=False),
            ),
            models.Index(
                fields=["organization", "-id"],
                name="apikey_of_servers",
                condition=Q(revoked_at=None, assign_server_ips=True),
            ),
            models.Index(
                fields=["organization", "role", "-id"],
                name="apikey_by_role",
                condition=Q(revoked_at=None, role__isnull=False),
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "slug"],
                condition=Q(revoked_at=None),
                name="apikey_slug_unique",
                violation_error_code="duplicate",
                violation_error_message=_("This organization has a key of that short name."),
            ),
            models.CheckConstraint(
                condition=Q(expires_at=None)
                | Q(not_before=None)
                | Q(expires_at__gt=F("not_before")),
                name="apikey_expires_after_start",
                violation_error_message=_("The key would expire before it becomes valid."),
            ),
            models.CheckConstraint(
                condition=Q(limit=None) | Q(limit__gte=0),
                name="apikey_limit_not_negative",
                violation_error_message=_("A limit is zero or more."),
            ),
            models.CheckConstraint(
                condition=Q(dialect__in=Dialect.values), name="apikey_known_dialect"
            ),
            models.CheckConstraint(
                condition=Q(limit_reset=None) | Q(limit_reset__in=LimitReset.values),
                name="apikey_known_limit_reset",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def status(self) -> Status:
        """What the key is now."""
        return self.status_at(timezone.now())

    def status_at(self, now: datetime) -> Status:
        """What the key is at that moment; `with_status` selects by the same rules."""
        if self.revoked_at is not None:
            return Status.REVOKED
        if self.locked_at is not None:
            return Status.LOCKED
        if self.disabled:
            return Status.DISABLED
        if self.expires_at is not None and self.expires_at <= now:
            return Status.EXPIRED
        if self.not_before is not None and self.not_before > now:
            return Status.PENDING
        return Status.ACTIVE

    def expires_soon_at(self, now: datetime) -> bool:
        """Say whether the key, not revoked, expires within EXPIRES_SOON of that moment."""
        return (
            self.revoked_at is None
            and self.expires_at is not None
            and now < self.expires_at <= now + EXPIRES_SOON
        )

    @property
    def is_enabled(self) -> bool:
        """Whether neither its own people nor staff stopped the key."""
        return not self.disabled and self.locked_at is None

    @property
    def is_management(self) -> bool:
        """Whether the key was given MANAGE, the right over all keys of its organization."""
        return BuiltInScope.MANAGE in self.scope_codes

    @property
    def scope_rows(self) -> "list[Scope]":
        """The scopes the key was given: its role's, or those listed on it."""
        return list(self.role.scopes.all() if self.role else self.scopes.all())

    @property
    def scope_codes(self) -> list[str]:
        """The codes of `scope_rows`. What its owner holds today may narrow them further."""
        if self.known_scopes is not None:
            return [code for _number, code in sorted(self.known_scopes)]
        return [scope.code for scope in self.scope_rows]

    @property
    def current_secret(self) -> "KeySecret | None":
        """The newest secret that is not revoked."""
        usable = [each for each in self.secrets.all() if each.revoked_at is None]
        return max(usable, key=lambda each: each.pk, default=None)

    @property
    def label(self) -> str:
        """The mask of the newest secret, by which people recognise the key."""
        if self.known_label is not None:
            return self.known_label
        newest = max(self.secrets.all(), key=lambda each: each.pk, default=None)
        return newest.label if newest else ""

    def remaining_at(self, now: datetime):
        """Return what is left of the limit at that moment, never below zero; None: no limit."""
        if self.limit is None:
            return None
        return self.totals.left_of(self.limit, self.limit_reset, now)
