"""What an organization demands of its keys and of those who issue them."""

import re

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from keys.models.organizations import Organization, Role

MAX_DAYS = 3650
# Each asterisk may make a match take as many times as long as a name has characters.
MAX_ASTERISKS = 3
MAX_PATTERN = 100

_DAYS = [MinValueValidator(1), MaxValueValidator(MAX_DAYS)]


class LeakAction(models.TextChoices):
    """What is done with a key that somebody found where it does not belong."""

    NOTIFY = "notify", _("tell people")
    DISABLE = "disable", _("disable the key")
    ROTATE = "rotate", _("rotate the key")


def validate_name_pattern(pattern: str) -> None:
    """Refuse a pattern that would take long to match."""
    if pattern.count("*") > MAX_ASTERISKS:
        raise ValidationError(
            _("Use at most %(most)d asterisks.") % {"most": MAX_ASTERISKS}, code="invalid"
        )


def pattern_to_regex(pattern: str) -> str:
    """Return what matches as the pattern does, in both databases: `*` any text, `?` a character."""
    wild = {"*": ".*", "?": "."}
    parts = [wild.get(each) or re.escape(each) for each in pattern]
    return rf"(?s)\A{''.join(parts)}\Z"


class OrganizationPolicy(models.Model):
    """The rules of one organization; without a row all are at their defaults: none.

    Rules say what people may do from now on. No verdict on a key depends on them.
    """

    organization = models.OneToOneField(
        Organization, models.CASCADE, related_name="policy", verbose_name=_("organization")
    )
    person_key_days = models.PositiveSmallIntegerField(
        _("keys of people live at most so many days"), null=True, blank=True, validators=_DAYS
    )
    shared_key_days = models.PositiveSmallIntegerField(
        _("keys of the organization live at most so many days"),
        null=True,
        blank=True,
        validators=_DAYS,
    )
    # Codes of scopes.
    confined_scopes = models.JSONField(_("scopes that need allowed IPs"), default=list, blank=True)
    name_pattern = models.CharField(
        _("pattern of the names of keys"),
        max_length=MAX_PATTERN,
        blank=True,
        validators=[validate_name_pattern],
    )
    idle_days = models.PositiveSmallIntegerField(
        _("unused keys are disabled after days"), null=True, blank=True, validators=_DAYS
    )
    requires_second_factor = models.BooleanField(_("second factor required"), default=False)
    leak_action = models.CharField(
        _("when a key leaked"), max_length=8, choices=LeakAction, default=LeakAction.NOTIFY
    )
    two_person_rule = models.BooleanField(_("two people for MANAGE"), default=False)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("policy")
        verbose_name_plural = _("policies")
        ordering = ["organization_id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(leak_action__in=LeakAction.values), name="policy_known_leak_action"
            )
        ]

    def __str__(self) -> str:
        return str(self.organization)


class RoleRule(models.Model):
    """What an organization demands of the members of one role when they give keys something."""

    policy = models.ForeignKey(
        OrganizationPolicy,
        models.CASCADE,
        related_name="role_rules",
        verbose_name=_("policy"),
    )
    role = models.ForeignKey(
        Role, models.CASCADE, related_name="role_rules", verbose_name=_("role")
    )
    # Codes of scopes; none: any that they hold.
    scopes = models.JSONField(_("scopes that they may give to keys"), default=list, blank=True)
    approval_scopes = models.JSONField(_("scopes that need approval"), default=list, blank=True)
    approval_days = models.PositiveSmallIntegerField(
        _("keys that live longer than so many days need approval"),
        null=True,
        blank=True,
        validators=_DAYS,
    )

    class Meta:
        verbose_name = _("rule of a role")
        verbose_name_plural = _("rules of roles")
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["policy", "role"], name="role_rule_unique")]

    def __str__(self) -> str:
        return str(self.role)
