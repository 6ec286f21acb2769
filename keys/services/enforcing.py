"""What an organization demands, asked of every change: its rules, and who else has to agree.

What a change sets has to fit the rules. What it leaves alone may stay as it was, so that a
new rule stops no key; and scopes may always be taken away.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _

from keys import policy, rules
from keys.models import APIKey, ApprovalRequest, Membership, Organization, Role, User
from keys.policy import Actor
from keys.roles import BuiltInScope
from keys.rules import Rules
from keys.services import approval_reasons, approval_terms, demands
from keys.services.approval_reasons import Reason

# What a new key sets.
_EVERYTHING = frozenset(field for rule in rules.RULES.values() for field in rule.touching)


class ApprovalRequiredError(PermissionDenied):
    """Somebody else has to approve this first; `reasons` say why."""

    def __init__(self, reasons: list[Reason]) -> None:
        self.reasons = reasons
        super().__init__(" ".join([*map(str, reasons), _("Ask for it, and say why.")]))


def enforce(
    actor: Actor,
    key: APIKey,
    changed: Mapping[str, list[Any]] | None = None,
    *,
    approval: ApprovalRequest | None = None,
) -> None:
    """Raise when a key, as it is stored now, is not what its organization demands.

    `changed` maps a changed field to [old, new]; None: the key is new. ValidationError by field
    when it breaks a rule; ApprovalRequiredError when the actor may not do this alone and there
    is no `approval`, the request by which others agreed, or it is of less.
    """
    found = rules.rules_of(key.organization)
    _refuse_breaking(actor, key, found, changed)
    _require_approval(actor, key, found, changed, approval)


def objections_to_new(
    actor: Actor, found: Rules, *, codes: Collection[str], end: datetime | None, now: datetime
) -> list[str]:
    """Say what is against it that the actor alone brings in a key with these scopes and end.

    Beside the rules that a key breaks by itself, whoever brings it in.
    """
    beyond = _beyond_role(actor, found, codes)
    if beyond:
        return [beyond]
    return [*map(str, reasons_for_approval(actor, found, gained=codes, ends=[end], now=now))]


def _refuse_breaking(
    actor: Actor, key: APIKey, found: Rules, changed: Mapping[str, list[Any]] | None
) -> None:
    fields = _EVERYTHING if changed is None else _set_by(changed)
    now = timezone.now()
    problems = {
        rule.field: ValidationError(rule.explain(found, key, now), code="policy")
        for rule in rules.broken(key, found, now, fields)
    }
    if fields & {"scopes", "owner"} and "scopes" not in problems:
        # What they give to keys of the organization, which has no role.
        beyond = _beyond_role(actor, found, _gained(key, changed))
        if beyond:
            problems["scopes"] = ValidationError(beyond, code="policy")
    if problems:
        raise ValidationError(problems)


def _require_approval(
    actor: Actor,
    key: APIKey,
    found: Rules,
    changed: Mapping[str, list[Any]] | None,
    approval: ApprovalRequest | None,
) -> None:
    gained = _gained(key, changed)
    ends = [key.expires_at] if changed is None or _is_extended(changed) else []
    if approval is not None and approval.organization_id == key.organization_id:
        agreed = approval.approved_terms or {}
        gained -= approval_terms.agreed_scopes(agreed)
        latest = approval_terms.end_of(agreed)
        ends = [] if latest is None else [end for end in ends if _is_beyond(end, latest)]
    reasons = reasons_for_approval(actor, found, gained=gained, ends=ends, now=timezone.now())
    if approval is None and changed is not None:
        demanded = demands.reason_against(actor, key, changed)
        reasons += [demanded] if demanded else []
    if reasons:
        raise ApprovalRequiredError(reasons)


def refuse_seeing(actor: Actor, key: APIKey) -> None:
    """Raise ValidationError when the actor may not have alone what a secret of this key gives.

    Whoever sees it gets all that the key lists. It is none that they did not have where they
    are the key itself, or the person whom it acts for. How long the key lives is not asked
    again: that was agreed on for the key, whoever holds it, and a new secret does not change it.
    """
    if _is_of(key, actor):
        return
    found, gained = rules.rules_of(key.organization), key.scope_codes
    reasons = reasons_for_approval(actor, found, gained=gained, ends=[], now=timezone.now())
    if reasons:
        raise ValidationError(ask_anew(reasons))


def shown_alone(actor: Actor, found: Rules, keys: Iterable[APIKey]) -> set[int]:
    """Return the numbers of those keys of which refuse_seeing() refuses the actor no secret.

    `found` are the rules of their organization. Where it has some for roles, one query for
    each other set of scopes; none where it has no rules.
    """
    now = timezone.now()

    @cache
    def is_free(codes: frozenset[str]) -> bool:
        return not reasons_for_approval(actor, found, gained=codes, ends=[], now=now)

    return {key.pk for key in keys if _is_of(key, actor) or is_free(frozenset(key.scope_codes))}


def ask_anew(reasons: Iterable[Reason]) -> str:
    """Say why nobody gets this key alone, and what they can do: nobody asks for another's."""
    return " ".join([*map(str, reasons), _("Ask for a new key, and revoke this one.")])


def require_second_person(
    actor: Actor, membership: Membership, role: Role, *, approval: ApprovalRequest | None = None
) -> None:
    """Raise ApprovalRequiredError when the actor may not give a member this role alone.

    `approval` is the request by which others agreed to what the role gave at that time.
    """
    gained = _codes_of(role) - _codes_of(membership.role)
    if approval is not None and approval.organization_id == membership.organization_id:
        gained -= approval_terms.agreed_scopes(approval.approved_terms or {})
    reason = _two_people(actor, rules.rules_of(membership.organization), gained)
    if reason:
        raise ApprovalRequiredError([reason])


def refuse_joining_with(actor: Actor, organization: Organization, role: Role) -> None:
    """Raise ValidationError for `role` when the actor may not let somebody join in it alone."""
    reason = _two_people(actor, rules.rules_of(organization), _codes_of(role))
    if reason:
        advice = _("Let them join in another role, then ask for this one.")
        raise ValidationError({"role": f"{reason} {advice}"})


def refuse_sharing(actor: Actor, role: Role, gained: Collection[str]) -> None:
    """Raise ValidationError for `scopes` when the actor may not give these to all with a role.

    Keys that follow it would get them without being asked about.
    """
    if role.organization is None or not gained:
        return
    found = rules.rules_of(role.organization)
    reasons: list[Reason] = []
    if role.api_keys.live().exists():
        beyond = _beyond_role(actor, found, gained)
        if beyond:
            raise ValidationError({"scopes": ValidationError(beyond, code="policy")})
        reasons = reasons_for_approval(actor, found, gained=gained, ends=[], now=timezone.now())
    elif role.memberships.exists():
        two_people = _two_people(actor, found, gained)
        reasons = [two_people] if two_people else []
    if reasons:
        advice = _("Define another role with it, and give that to each.")
        raise ValidationError({"scopes": " ".join([*map(str, reasons), advice])})


def refuse_breaking_by_role(role: Role) -> None:
    """Raise ValidationError for `scopes` when a key breaks a rule by the role as it is stored."""
    if role.organization is None:
        return
    found, now = rules.rules_of(role.organization), timezone.now()
    for rule in rules.RULES.values():
        condition = rule.condition(found, now) if "scopes" in rule.touching else None
        key = role.api_keys.live().filter(condition).first() if condition is not None else None
        if key is not None:
            problem = f"{key.name}: {rule.explain(found, key, now)}"
            raise ValidationError({"scopes": ValidationError(problem, code="policy")})


def reasons_for_approval(
    actor: Actor,
    found: Rules,
    *,
    gained: Collection[str],
    ends: Collection[datetime | None],
    now: datetime,
) -> list[Reason]:
    """Say why somebody else has to agree that the actor gives a key these scopes and this end.

    `ends` holds the key's end, or nothing where it is not set. None: nobody has to.
    """
    two_people = _two_people(actor, found, gained)
    reasons = [two_people] if two_people else []
    terms = found.terms_of(_role_of(actor, found)) if found.roles else None
    if terms is None:
        return reasons
    codes = terms.approval_scopes & set(gained)
    if codes:
        reasons.append(approval_reasons.by_scopes(terms.role.name, codes))
    days = terms.approval_days
    if days is not None and any(_is_beyond(end, now + timedelta(days=days)) for end in ends):
        reasons.append(approval_reasons.by_life(terms.role.name, days))
    return reasons


def person_behind(actor: Actor) -> User | None:
    """Return for whom the actor acts: a person for themselves, a key for its owner."""
    if isinstance(actor, APIKey):
        return actor.owner
    return actor if isinstance(actor, User) else None


def _is_of(key: APIKey, actor: Actor) -> bool:
    """Whether the actor is the key itself, or acts for the person whom it acts for."""
    person = person_behind(actor)
    return actor == key or (person is not None and person.pk == key.owner_id)


def _two_people(actor: Actor, found: Rules, codes: Collection[str]) -> Reason | None:
    # The operator holds the database already, and helps where nobody else is left.
    if not found.two_person_rule or BuiltInScope.MANAGE not in codes or actor is policy.OPERATOR:
        return None
    return approval_reasons.by_two_people(found.organization.name)


def _role_of(actor: Actor, found: Rules) -> int | None:
    person = person_behind(actor)
    return rules.role_id_of(person.pk, found.organization) if person else None


def _codes_of(role: Role) -> set[str]:
    return {scope.code for scope in role.scopes.all()}


def _beyond_role(actor: Actor, found: Rules, codes: Collection[str]) -> str:
    terms = found.terms_of(_role_of(actor, found)) if found.roles and codes else None
    return rules.beyond_role(terms, codes) if terms else ""


def _set_by(changed: Mapping[str, list[Any]]) -> set[str]:
    """Return of the changed fields those in which the key has to fit the rules now."""
    fields = set(changed)
    if "scopes" in changed and set(changed["scopes"][1]) <= set(changed["scopes"][0]):
        fields.discard("scopes")
    if "disabled" in changed and changed["disabled"][1]:
        fields.discard("disabled")
    return fields


def _gained(key: APIKey, changed: Mapping[str, list[Any]] | None) -> set[str]:
    # Whoever gets a key gets all that it lists.
    if changed is None or "owner" in changed:
        return set(key.scope_codes)
    old, new = changed.get("scopes", ([], []))
    return set(new) - set(old)


def _is_extended(changed: Mapping[str, list[Any]]) -> bool:
    if "owner" in changed:
        return True
    if "expires_at" not in changed:
        return False
    old, new = changed["expires_at"]
    return old is not None and (new is None or new > old)


def _is_beyond(end: datetime | None, latest: datetime) -> bool:
    return end is None or end > latest
