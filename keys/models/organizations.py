"""Organizations: their workspaces, people, roles, scopes and server addresses."""

import re
import uuid

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from keys import networks, roles

SLUG_PATTERN = re.compile(r"^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\Z")
validate_slug = RegexValidator(
    SLUG_PATTERN.pattern,
    _("Use lower-case letters, digits and single hyphens inside."),
)


def validate_network(text: str) -> None:
    """Refuse what is not an address or a CIDR range, with the likely fix."""
    try:
        networks.parse_network(text)
    except ValueError as error:
        raise ValidationError(str(error), code="invalid") from None


def validate_custom_scope(code: str) -> None:
    """Refuse a scope of an organization that is not of the form `orders:read`."""
    if not roles.CUSTOM_SCOPE_PATTERN.fullmatch(code):
        raise ValidationError(
            _("Use a resource and an action in lower case, such as orders:read."), code="invalid"
        )


class LimiterFailure(models.TextChoices):
    """What becomes of uses of rate-limited keys while nothing can count them."""

    REFUSE = "refuse", _("refuse")
    ALLOW = "allow", _("let through")


class Organization(models.Model):
    """Who keys belong to; nothing is ever visible across organizations."""

    name = models.CharField(_("name"), max_length=120)
    slug = models.CharField(_("short name"), max_length=63, unique=True, validators=[validate_slug])
    suspended_at = models.DateTimeField(_("suspended"), null=True, blank=True)
    rotation_days = models.PositiveSmallIntegerField(
        _("secrets are replaced after days"),
        null=True,
        blank=True,
        default=365,
        validators=[MinValueValidator(1), MaxValueValidator(3650)],
        help_text=_(
            "Older secrets are listed for rotation; empty: they may get as old as they do."
        ),
    )
    limiter_failure = models.CharField(
        _("when rate limits cannot be counted"),
        max_length=6,
        choices=LimiterFailure,
        default=LimiterFailure.REFUSE,
        help_text=_("What becomes of rate-limited keys while the store of the counts is away."),
    )
    # What clients sign with in the token exchange, encrypted; empty until it is needed.
    sealed_shared_secret = models.CharField(max_length=255, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    members: models.ManyToManyField = models.ManyToManyField(
        settings.AUTH_USER_MODEL, through="Membership", related_name="organizations"
    )

    class Meta:
        verbose_name = _("organization")
        verbose_name_plural = _("organizations")
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_suspended(self) -> bool:
        return self.suspended_at is not None


class Workspace(models.Model):
    """A part of an organization in which keys are grouped; one is the default."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(
        Organization, models.CASCADE, related_name="workspaces", verbose_name=_("organization")
    )
    name = models.CharField(_("name"), max_length=120)
    is_default = models.BooleanField(_("default"), default=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("workspace")
        verbose_name_plural = _("workspaces")
        ordering = ["-is_default", "name", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "name"],
                name="workspace_name_unique",
                violation_error_message=_("This organization has a workspace of that name."),
            ),
            models.UniqueConstraint(
                fields=["organization"],
                condition=Q(is_default=True),
                name="workspace_one_default",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class BuiltInOrOwn(models.QuerySet):
    """Rows that every organization has, and rows of one organization."""

    def available_to(self, organization: Organization) -> "BuiltInOrOwn":
        """Return the built-in rows and those of this organization."""
        return self.filter(Q(organization=None) | Q(organization=organization))


class Scope(models.Model):
    """Something that a key or a role may hold."""

    organization = models.ForeignKey(
        Organization,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="scopes",
        verbose_name=_("organization"),
    )
    code = models.CharField(_("code"), max_length=100)
    description = models.CharField(_("description"), max_length=200, blank=True)

    objects = BuiltInOrOwn.as_manager()

    class Meta:
        verbose_name = _("scope")
        verbose_name_plural = _("scopes")
        ordering = ["organization_id", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "code"],
                name="scope_code_unique",
                violation_error_message=_("This organization has a scope of that code."),
            ),
            models.UniqueConstraint(
                fields=["code"], condition=Q(organization=None), name="scope_built_in_unique"
            ),
            # An organization's scopes are `resource:action`: none can pose as a built-in one.
            models.CheckConstraint(
                condition=Q(organization=None, code__in=[*roles.BuiltInScope])
                | Q(organization__isnull=False, code__contains=":"),
                name="scope_built_in_or_own",
            ),
        ]

    def __str__(self) -> str:
        return self.code

    @property
    def is_built_in(self) -> bool:
        return self.organization_id is None

    @property
    def meaning(self) -> str:
        """The description; of a built-in scope in the reader's language."""
        is_ours = self.is_built_in and self.description
        return gettext(self.description) if is_ours else self.description


class Role(models.Model):
    """A named bundle of scopes, held by people and followed by keys."""

    organization = models.ForeignKey(
        Organization,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="roles",
        verbose_name=_("organization"),
    )
    number = models.PositiveIntegerField(_("number"))
    name = models.CharField(_("name"), max_length=60)
    description = models.CharField(_("description"), max_length=200, blank=True)
    scopes: models.ManyToManyField = models.ManyToManyField(
        Scope, blank=True, related_name="roles", verbose_name=_("scopes")
    )

    objects = BuiltInOrOwn.as_manager()

    class Meta:
        verbose_name = _("role")
        verbose_name_plural = _("roles")
        ordering = ["number", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "number"],
                name="role_number_unique",
                violation_error_message=_("This organization has a role of that number."),
            ),
            models.UniqueConstraint(
                fields=["organization", "name"],
                name="role_name_unique",
                violation_error_message=_("This organization has a role of that name."),
            ),
            models.UniqueConstraint(
                fields=["number"], condition=Q(organization=None), name="role_built_in_unique"
            ),
            models.CheckConstraint(
                condition=Q(
                    organization=None,
                    number__in=[each.number for each in roles.BUILT_IN_ROLES],
                    name__in=[each.name for each in roles.BUILT_IN_ROLES],
                )
                | Q(organization__isnull=False, number__gte=roles.FIRST_CUSTOM_ROLE_NUMBER)
                & ~Q(name__in=[each.name for each in roles.BUILT_IN_ROLES]),
                name="role_built_in_or_own",
                violation_error_message=_(
                    "Numbers from 10 on, and names other than the built-in roles', are yours."
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_built_in(self) -> bool:
        return self.organization_id is None


class Membership(models.Model):
    """That a person belongs to an organization, in which role."""

    organization = models.ForeignKey(
        Organization, models.CASCADE, related_name="memberships", verbose_name=_("organization")
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="memberships",
        verbose_name=_("person"),
    )
    role = models.ForeignKey(
        Role, models.PROTECT, related_name="memberships", verbose_name=_("role")
    )
    is_owner = models.BooleanField(
        _("owner"), default=False, help_text=_("Owners decide who else is an owner.")
    )
    created_at = models.DateTimeField(_("joined"), auto_now_add=True)

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        ordering = ["organization_id", "user_id"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "user"],
                name="membership_unique",
                violation_error_message=_("This person is a member already."),
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"


class ServerAddress(models.Model):
    """An address of the organization's servers, allowed to keys that follow the pool."""

    organization = models.ForeignKey(
        Organization,
        models.CASCADE,
        related_name="server_addresses",
        verbose_name=_("organization"),
    )
    network = models.CharField(_("address or range"), max_length=49, validators=[validate_network])
    comment = models.CharField(_("comment"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("server address")
        verbose_name_plural = _("server addresses")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "network"],
                name="server_address_unique",
                violation_error_message=_("This address is listed already."),
            )
        ]

    def __str__(self) -> str:
        return self.network
