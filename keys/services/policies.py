"""The policy of an organization: look at what a change would do, make it, act on it."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from keys import policy, rules
from keys.models import APIKey, Organization, OrganizationPolicy, RoleRule, Scope
from keys.models.counting import Some
from keys.policy import OPERATOR, Actor
from keys.roles import BuiltInScope, Permission
from keys.rules import RoleTerms, Rule, Rules
from keys.services import audit, rows
from keys.services.changes import open_key
from keys.services.validation import save, validate

# Of the keys that break a rule, so many are named.
KEYS_SHOWN = 10
# Rules of which no key feels anything.
_BEYOND_KEYS = {"leak_action", "requires_second_factor", "two_person_rule"}
# A run of the chore does no more in one organization; the next one goes on.
MOST_DISABLED = 1000


@dataclass(frozen=True)
class Breach:
    """A rule, and the keys that break it."""

    rule: Rule
    keys: Some[APIKey]


@dataclass(frozen=True)
class PolicyPlan:
    """What a policy would mean for the keys that there are."""

    breaches: tuple[Breach, ...]
    # Those that would be disabled for lying idle.
    idle: Some[APIKey]
    mark: str
    # Whether something changes of what keys have to be like.
    is_change: bool

    @property
    def is_felt(self) -> bool:
        """Whether some key breaks a rule or would be disabled."""
        return bool(self.breaches or self.idle)


def plan_policy(*, actor: Actor, organization: Organization, **changes: Any) -> PolicyPlan:
    """Say which existing keys would break the policy with these changes, as update_policy takes
    them. Raises as that does."""
    policy.require(actor, Permission.CHANGE_ORGANIZATION, organization)
    found = rules.rules_of(organization)
    wanted = rules.proposed(found, _checked(organization, changes))
    _row_of(organization, wanted)
    now = timezone.now()
    keys = policy.visible(actor, organization.api_keys.live().unexpired(now))
    breaches = []
    for rule in rules.RULES.values():
        condition = rule.condition(wanted, now)
        if condition is not None:
            breaches.append(Breach(rule, Some.of(keys.filter(condition), KEYS_SHOWN)))
    idle = keys.none()
    if wanted.idle_days is not None:
        idle = keys.filter(_is_idle(wanted.idle_days, now))
    old, new = describe(found), describe(wanted)
    state = json.dumps(new, sort_keys=True)
    return PolicyPlan(
        tuple(each for each in breaches if each.keys),
        Some.of(idle, KEYS_SHOWN),
        hashlib.sha256(state.encode()).hexdigest()[:16],
        any(old[name] != new[name] for name in new.keys() - _BEYOND_KEYS),
    )


def update_policy(*, actor: Actor, organization: Organization, **changes: Any) -> Rules:
    """Change rules of an organization, by the names of `Rules`, and return them all.

    `roles` replaces what holds for roles, each a RoleTerms. Keys that break a new rule go on
    working. Raises PermissionDenied, ValidationError by field.
    """
    policy.require(actor, Permission.CHANGE_ORGANIZATION, organization)
    with transaction.atomic():
        organization = rows.lock(organization)
        before = rules.rules_of(organization)
        wanted = rules.proposed(before, _checked(organization, changes))
        if before.two_person_rule and not wanted.two_person_rule:
            # Else one person could switch it off, give MANAGE and switch it on again.
            policy.require(actor, Permission.OWN_ORGANIZATION, organization)
        if wanted.two_person_rule and not before.two_person_rule:
            _refuse_loneliness(organization)
        _write(organization, wanted)
        old, new = describe(before), describe(wanted)
        changed = {name: [old[name], new[name]] for name in new if old[name] != new[name]}
        if changed:
            audit.record(
                actor=actor,
                action="policy.updated",
                obj=organization,
                organization=organization,
                changes=changed,
            )
    return wanted


def disable_idle_keys(*, now: datetime | None = None) -> int:
    """Disable the keys that their organizations' policies call idle; return how many.

    For a periodic job, in the operator's name. A key that was enabled or changed meanwhile
    has as long again.
    """
    now = now or timezone.now()
    count = 0
    for row in OrganizationPolicy.objects.exclude(idle_days=None):
        idle = (
            APIKey.objects.live()
            .enabled()
            .unexpired(now)
            .filter(_is_idle(row.idle_days or 0, now), organization=row.organization_id)
        )
        for key in idle.order_by("pk")[:MOST_DISABLED]:
            count += _disable_idle(key, row.idle_days or 0, now)
    return count


def describe(found: Rules) -> dict[str, Any]:
    """Return rules by name, in plain values, as the audit trail records them."""
    return {
        **{name: getattr(found, name) for name in rules.FIELDS},
        "confined_scopes": sorted(found.confined_scopes),
        "leak_action": str(found.leak_action),
        "roles": [_in_words(each) for each in found.roles],
    }


def _in_words(terms: RoleTerms) -> str:
    parts = [
        f"gives {', '.join(sorted(terms.scopes))}" if terms.scopes else "",
        f"asks for {', '.join(sorted(terms.approval_scopes))}" if terms.approval_scopes else "",
        "" if terms.approval_days is None else f"asks beyond {terms.approval_days} days",
    ]
    return f"{terms.role.name}: {'; '.join(filter(None, parts))}"


def _checked(organization: Organization, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes, with what is no scope or role of the organization refused."""
    unknown = changes.keys() - {*rules.FIELDS, "roles"}
    if unknown:
        raise TypeError(f"A policy has no {', '.join(sorted(unknown))}.")
    checked = dict(changes)
    if "confined_scopes" in changes:
        codes = sorted(set(changes["confined_scopes"]))
        _refuse_unknown(organization, "confined_scopes", codes)
        checked["confined_scopes"] = tuple(codes)
    if "roles" in changes:
        terms: dict[int, RoleTerms] = {}
        for each in changes["roles"]:
            if each.role.organization_id not in (None, organization.pk):
                raise ValidationError({"roles": _("This organization has no such role.")})
            if each.role.pk in terms:
                raise ValidationError({"roles": _("Name each role once.")})
            _refuse_unknown(organization, "roles", each.scopes | each.approval_scopes)
            terms[each.role.pk] = each
        kept = (each for each in terms.values() if each.says_anything)
        checked["roles"] = tuple(sorted(kept, key=lambda each: (each.role.number, each.role.pk)))
    return checked


def _refuse_unknown(organization: Organization, field: str, codes: Collection[str]) -> None:
    known = Scope.objects.available_to(organization).filter(code__in=codes)
    unknown = sorted(set(codes) - set(known.values_list("code", flat=True)))
    if unknown:
        raise ValidationError(
            {field: _("Unknown scope: %(codes)s.") % {"codes": ", ".join(map(ascii, unknown))}}
        )


def _refuse_loneliness(organization: Organization) -> None:
    managers = organization.memberships.filter(
        user__is_active=True, role__scopes__code=BuiltInScope.MANAGE
    )
    if managers.count() < 2:
        raise ValidationError(
            {"two_person_rule": _("It takes two members with MANAGE, and there is only one.")}
        )


def _row_of(organization: Organization, wanted: Rules) -> OrganizationPolicy:
    """Return the rules as they are stored. Raises ValidationError by field."""
    row = OrganizationPolicy.objects.filter(organization=organization).first()
    # By its number: the organization shall not take what nobody stored for its policy.
    row = row or OrganizationPolicy(organization_id=organization.pk)
    for name in rules.FIELDS:
        setattr(row, name, getattr(wanted, name))
    row.confined_scopes = list(wanted.confined_scopes)
    validate(row)
    return row


def _write(organization: Organization, wanted: Rules) -> None:
    row = _row_of(organization, wanted)
    save(row)
    row.role_rules.exclude(role__in=[each.role.pk for each in wanted.roles]).delete()
    for each in wanted.roles:
        rule = row.role_rules.filter(role=each.role).first() or RoleRule(policy=row, role=each.role)
        rule.scopes, rule.approval_scopes = sorted(each.scopes), sorted(each.approval_scopes)
        rule.approval_days = each.approval_days
        validate(rule)
        save(rule)


def _is_idle(days: int, now: datetime) -> Q:
    since = now - timedelta(days=days)
    # Whoever changed it, or let it work again, means to use it.
    return Q(updated_at__lt=since) & (
        Q(totals__last_used_at=None) | Q(totals__last_used_at__lt=since)
    )


def _disable_idle(key: APIKey, days: int, now: datetime) -> int:
    with transaction.atomic():
        try:
            key = open_key(OPERATOR, key, Permission.CHANGE_APIKEY)
        except APIKey.DoesNotExist:
            return 0
        if key.disabled or not APIKey.objects.filter(_is_idle(days, now), pk=key.pk).exists():
            return 0
        key.disabled = True
        key.save(update_fields=["disabled", "updated_at"])
        reason = ngettext("Not used for %(days)d day.", "Not used for %(days)d days.", days)
        audit.record(
            actor=OPERATOR,
            action="apikey.disabled",
            obj=key,
            organization=key.organization,
            changes={
                "disabled": [False, True],
                "reason": reason % {"days": days},
                "idle_days": days,
            },
        )
    return 1
