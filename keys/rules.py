"""Which keys break a rule of their organization's policy, and in what words.

Each rule is one condition: what issuing and changing refuse, what a preview lists and what
hygiene finds all come from it, so that they cannot disagree.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from keys.models import AllowedIP, APIKey, Membership, Organization, OrganizationPolicy, Role, Scope
from keys.models.policies import LeakAction, pattern_to_regex

# A list that allows a wider range than this confines nobody.
_TOO_WIDE = r"/[0-7]$"


@dataclass(frozen=True)
class RoleTerms:
    """What holds for the members of one role. No `scopes`: they may give any that they hold."""

    role: Role
    scopes: frozenset[str] = frozenset()
    approval_scopes: frozenset[str] = frozenset()
    approval_days: int | None = None

    @property
    def says_anything(self) -> bool:
        """Whether it differs from having no rule."""
        return bool(self.scopes or self.approval_scopes or self.approval_days is not None)


@dataclass(frozen=True)
class Rules:
    """The policy of an organization, as it is or as it is proposed."""

    organization: Organization
    person_key_days: int | None = None
    shared_key_days: int | None = None
    confined_scopes: tuple[str, ...] = ()
    name_pattern: str = ""
    idle_days: int | None = None
    requires_second_factor: bool = False
    leak_action: str = LeakAction.NOTIFY
    two_person_rule: bool = False
    roles: tuple[RoleTerms, ...] = ()

    def days_of(self, owner_id: int | None) -> int | None:
        """Return how many days a key of this person, or of the organization, may live."""
        return self.shared_key_days if owner_id is None else self.person_key_days

    def terms_of(self, role_id: int | None) -> RoleTerms | None:
        """Return what holds for the members of a role; None: nothing of its own."""
        return next((each for each in self.roles if each.role.pk == role_id), None)


# The fields of a policy that are stored as they are.
FIELDS = (
    "person_key_days",
    "shared_key_days",
    "confined_scopes",
    "name_pattern",
    "idle_days",
    "requires_second_factor",
    "leak_action",
    "two_person_rule",
)


def rules_of(organization: Organization) -> Rules:
    """Return the rules of an organization as they are now. One query, two where it has some."""
    return _read(organization, OrganizationPolicy.objects.filter(organization=organization).first())


def loaded_rules(organization: Organization) -> Rules:
    """Return the rules of an organization as they were when it was read, to show them.

    No query where its policy was loaded with it and there is none.
    """
    try:
        return _read(organization, organization.policy)
    except ObjectDoesNotExist:
        return Rules(organization)


def _read(organization: Organization, row: OrganizationPolicy | None) -> Rules:
    if row is None:
        return Rules(organization)
    values = {name: getattr(row, name) for name in FIELDS}
    terms = (
        RoleTerms(
            each.role,
            frozenset(each.scopes),
            frozenset(each.approval_scopes),
            each.approval_days,
        )
        for each in row.role_rules.select_related("role")
    )
    roles = tuple(sorted(terms, key=lambda each: (each.role.number, each.role.pk)))
    return Rules(
        organization,
        **{**values, "confined_scopes": tuple(row.confined_scopes)},
        roles=roles,
    )


def proposed(rules: Rules, changes: Mapping[str, Any]) -> Rules:
    """Return the rules as they would be with these changes."""
    return replace(rules, **changes)


@dataclass(frozen=True)
class Rule:
    """One demand on keys.

    `label` completes "keys that …". `condition` holds for the keys that break it, and is None
    where the organization demands nothing of the kind. `explain` says to people which rule it
    is and what fits; it is told at `field`. A change of `touching` has to keep the rule.
    """

    name: str
    label: str | Promise
    field: str
    touching: frozenset[str]
    condition: Callable[[Rules, datetime], Q | None]
    explain: Callable[[Rules, APIKey, datetime], str]


def _outlives(rules: Rules, now: datetime) -> Q | None:
    wrong = Q(pk__in=[])
    for owners, days in (
        (Q(owner__isnull=False), rules.person_key_days),
        (Q(owner=None), rules.shared_key_days),
    ):
        if days is not None:
            ends_late = Q(expires_at=None) | Q(expires_at__gt=now + timedelta(days=days))
            wrong |= owners & ends_late
    return None if rules.person_key_days is rules.shared_key_days is None else wrong


def _explain_life(rules: Rules, key: APIKey, now: datetime) -> str:
    days = rules.days_of(key.owner_id) or 0
    latest = timezone.localtime(now + timedelta(days=days))
    return ngettext(
        "Keys of %(name)s live at most %(days)d day: choose %(latest)s or earlier.",
        "Keys of %(name)s live at most %(days)d days: choose %(latest)s or earlier.",
        days,
    ) % {
        "name": key.owner.name_and_address if key.owner else rules.organization.name,
        "days": days,
        "latest": f"{latest:%Y-%m-%d %H:%M}",
    }


def _roams(rules: Rules, now: datetime) -> Q | None:
    if not rules.confined_scopes:
        return None
    rows = AllowedIP.objects.filter(key=OuterRef("pk"), active=True, deny=False)
    wide = rows.filter(network__regex=_TOO_WIDE)
    is_confined = Q(Exists(rows)) | Q(assign_server_ips=True)
    return _holds(Q(code__in=rules.confined_scopes)) & (~is_confined | Q(Exists(wide)))


def _explain_roaming(rules: Rules, key: APIKey, now: datetime) -> str:
    codes = [code for code in rules.confined_scopes if code in key.scope_codes]
    return ngettext(
        "Keys of %(name)s with the scope %(codes)s work from listed addresses only: allow some, "
        "none wider than /8, or let it follow the organization's servers.",
        "Keys of %(name)s with the scopes %(codes)s work from listed addresses only: allow some, "
        "none wider than /8, or let it follow the organization's servers.",
        len(codes),
    ) % {"name": rules.organization.name, "codes": ", ".join(sorted(codes))}


def _exceeds_role(rules: Rules, now: datetime) -> Q | None:
    bound = [each for each in rules.roles if each.scopes]
    if not bound:
        return None
    wrong = Q(pk__in=[])
    for each in bound:
        members = Membership.objects.filter(organization=rules.organization, role=each.role)
        wrong |= Q(owner__in=members.values("user")) & _holds(~Q(code__in=each.scopes))
    return wrong


def _explain_role(rules: Rules, key: APIKey, now: datetime) -> str:
    role_id = role_id_of(key.owner_id, rules.organization)
    terms = rules.terms_of(role_id)
    return beyond_role(terms, key.scope_codes) if terms else ""


def beyond_role(terms: RoleTerms, codes: Iterable[str]) -> str:
    """Say which of these scopes members of the role may not give to keys; empty: none."""
    beyond = sorted(set(codes) - terms.scopes) if terms.scopes else []
    if not beyond:
        return ""
    return _("In the role %(role)s, keys get only %(allowed)s; not %(codes)s.") % {
        "role": terms.role.name,
        "allowed": ", ".join(sorted(terms.scopes)),
        "codes": ", ".join(beyond),
    }


def _is_misnamed(rules: Rules, now: datetime) -> Q | None:
    if not rules.name_pattern:
        return None
    return ~Q(name__regex=pattern_to_regex(rules.name_pattern))


def _explain_name(rules: Rules, key: APIKey, now: datetime) -> str:
    return _("Names of keys of %(name)s look like %(pattern)s, such as %(example)s.") % {
        "name": rules.organization.name,
        "pattern": rules.name_pattern,
        "example": example_of(rules.name_pattern),
    }


def example_of(pattern: str) -> str:
    """Return a name that fits a pattern."""
    return pattern.replace("*", "billing").replace("?", "1")


# A key that is let work again has to fit every rule.
_ALWAYS = frozenset({"disabled"})

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(
            "lifetime",
            gettext_lazy("live too long"),
            "expires_at",
            _ALWAYS | {"expires_at", "owner"},
            _outlives,
            _explain_life,
        ),
        Rule(
            "addresses",
            gettext_lazy("work from anywhere with a scope that needs allowed IPs"),
            "allowed_ips",
            _ALWAYS | {"allowed_ips", "assign_server_ips", "scopes"},
            _roams,
            _explain_roaming,
        ),
        Rule(
            "role",
            gettext_lazy("hold scopes that the role of their owner does not give to keys"),
            "scopes",
            _ALWAYS | {"scopes", "owner"},
            _exceeds_role,
            _explain_role,
        ),
        Rule(
            "name",
            gettext_lazy("are not named as they should be"),
            "name",
            _ALWAYS | {"name"},
            _is_misnamed,
            _explain_name,
        ),
    )
}


def breaks_any(rules: Rules, now: datetime) -> Q:
    """Select the keys that break some rule."""
    wrong = Q(pk__in=[])
    for rule in RULES.values():
        condition = rule.condition(rules, now)
        if condition is not None:
            wrong |= condition
    return wrong


def broken(key: APIKey, rules: Rules, now: datetime, fields: Iterable[str]) -> list[Rule]:
    """Return the rules on these fields that a key breaks as it is stored.

    One query for each rule that the organization has.
    """
    fields = set(fields)
    stored = APIKey.objects.filter(pk=key.pk)
    return [
        rule
        for rule in RULES.values()
        if rule.touching & fields
        and (condition := rule.condition(rules, now)) is not None
        and stored.filter(condition).exists()
    ]


def broken_by(keys: QuerySet[APIKey], rules: Rules, now: datetime) -> dict[int, list[str]]:
    """Return {key's number: what it breaks, in sentences} of those that break a rule.

    One query for each rule that the organization has; for what is found few more.
    """
    found: dict[int, list[str]] = defaultdict(list)
    for rule in RULES.values():
        condition = rule.condition(rules, now)
        if condition is None:
            continue
        for key in keys.filter(condition).select_related("owner", "role"):
            found[key.pk].append(rule.explain(rules, key, now))
    return dict(found)


def role_id_of(person_id: int | None, organization: Organization) -> int | None:
    """Return the role of a person in an organization; None: they are no member."""
    if person_id is None:
        return None
    rows = Membership.objects.filter(organization=organization, user=person_id)
    return rows.values_list("role_id", flat=True).first()


def latest_end(rules: Rules, owner_id: int | None, now: datetime) -> datetime | None:
    """Return how late a key of this owner may end; None: at any time, or never."""
    days = rules.days_of(owner_id)
    return None if days is None else now + timedelta(days=days)


def _holds(scopes: Q) -> Q:
    """Select the keys that list such a scope or follow a role with one."""
    codes = Scope.objects.filter(scopes)
    listed = APIKey.scopes.through.objects.filter(apikey=OuterRef("pk"), scope__in=codes)
    followed = Role.scopes.through.objects.filter(role=OuterRef("role"), scope__in=codes)
    return Q(Exists(listed)) | Q(Exists(followed))
