"""What somebody asks for, as it is kept until somebody else agrees: plain JSON, and back."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from keys import summaries
from keys.models import AllowedIP, ApprovalRequest, Organization, Role, Scope, User, Workspace
from keys.models.rates import Period
from keys.networks import Confinement
from keys.summaries import Facts

# Arguments of issue_key and update_key that may be asked for.
_PLAIN = frozenset(
    {
        "name",
        "slug",
        "description",
        "dialect",
        "disabled",
        "limit_reset",
        "include_byok_in_limit",
        "assign_server_ips",
        "external_user",
    }
)
_MOMENTS = frozenset({"not_before", "expires_at"})
_ROWS = {"role": Role, "workspace": Workspace, "owner": User}
_LISTS = frozenset({"scopes", "allowed_ips", "rate_limits"})
# Those that facts of a key call by another name, or as it is.
_AS_FACTS = {
    "not_before": "not_before",
    "expires_at": "expires_at",
    "limit": "limit",
    "limit_reset": "limit_reset",
    "include_byok_in_limit": "counts_byok",
}
NAMES = _PLAIN | _MOMENTS | _ROWS.keys() | _LISTS | {"limit"}
# What is noted beside the arguments: the scopes of the role when it was approved, and those of
# the key when more was asked for it.
ROLE_SCOPES = "role_scopes"
SCOPES_BEFORE = "scopes_before"
NOTES = frozenset({ROLE_SCOPES, SCOPES_BEFORE})


def pack(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of issue_key or update_key as plain JSON."""
    unknown = terms.keys() - NAMES
    if unknown:
        raise TypeError(f"Nobody asks for {', '.join(sorted(unknown))}.")
    return {name: _plain(value) for name, value in terms.items()}


def unpack(organization: Organization, packed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments again. Raises ValidationError by field for rows that are gone."""
    return {
        name: _value(organization, name, value)
        for name, value in packed.items()
        if name not in NOTES
    }


def scopes_of(organization: Organization, packed: Mapping[str, Any]) -> set[str]:
    """Return the scopes that a key would have by these terms; of a change, if it says so."""
    if packed.get("role") is not None:
        role = _row(organization, "role", packed["role"])
        return {scope.code for scope in role.scopes.all()}
    return set(packed.get("scopes") or ())


def settle(organization: Organization, packed: Mapping[str, Any]) -> dict[str, Any]:
    """Return terms as they are approved: what their role gives now is what was agreed to.

    Raises ValidationError when the role is gone.
    """
    if packed.get("role") is None:
        return dict(packed)
    return {**packed, ROLE_SCOPES: sorted(scopes_of(organization, packed))}


def agreed_scopes(settled: Mapping[str, Any]) -> set[str]:
    """Return the scopes that were approved."""
    return {*(settled.get("scopes") or ()), *(settled.get(ROLE_SCOPES) or ())}


def end_of(packed: Mapping[str, Any]) -> datetime | None:
    """Return until when a key would live by these terms; None: for good, or as it does."""
    end = packed.get("expires_at")
    return parse_datetime(end) if end is not None else None


def narrowings(request: ApprovalRequest) -> dict[str, list[Any]]:
    """Return what was agreed to otherwise than it was asked for: by name [asked, approved]."""
    approved = request.approved_terms or {}
    return {
        name: [request.terms.get(name), value]
        for name, value in approved.items()
        if name not in NOTES and request.terms.get(name) != value
    }


def facts_of(request: ApprovalRequest, terms: Mapping[str, Any] | None = None) -> Facts:
    """Return what decides what a key may do by what was asked for or, once it was, approved.

    Or by other `terms` in their place. Of a change, with all that the key has already. Raises
    ValidationError when the role that it would follow is gone.
    """
    if terms is None:
        terms = request.terms if request.approved_terms is None else request.approved_terms
    facts = (
        Facts(organization=request.organization.name, owner=request.requester.name_and_address)
        if request.key is None
        else summaries.facts_of(request.key)
    )
    said: dict[str, Any] = {
        fact: _value(request.organization, name, terms[name])
        for name, fact in _AS_FACTS.items()
        if name in terms
    }
    if terms.get("owner", request.requester_id) is None:
        said["owner"] = None
    if "scopes" in terms or terms.get("role") is not None:
        role = _value(request.organization, "role", terms.get("role"))
        said["role"] = role.name if role else None
        said["scopes"] = frozenset(scopes_of(request.organization, terms))
    if "rate_limits" in terms:
        rates = ((each["amount"], each["period"]) for each in terms["rate_limits"])
        said["rates"] = tuple(sorted(rates, key=lambda rate: Period(rate[1]).seconds))
    return replace(facts, **said, **_origin_of(request.organization, terms))


def lists_of(entries: Iterable[str | Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Return the facts that a list of allowed IPs comes to: what it allows and denies."""
    active = [each for each in map(_whole, entries) if each["active"]]
    return {
        "allowed": tuple(each["network"] for each in active if not each["deny"]),
        "denied": tuple(each["network"] for each in active if each["deny"]),
    }


def asked_entries(request: ApprovalRequest) -> list[dict[str, Any]]:
    """Return the list of allowed IPs that is asked for; where none is, the one of the key."""
    if "allowed_ips" in request.terms or request.key is None:
        return [_whole(each) for each in request.terms.get("allowed_ips", ())]
    return [entry_of(row) for row in request.key.allowed_ips.all()]


def entry_of(row: AllowedIP) -> dict[str, Any]:
    """Return a row of a list of allowed IPs as it is asked for."""
    return {
        "network": row.network,
        "deny": row.deny,
        "comment": row.comment,
        "active": row.active,
    }


def confinement_of(facts: Facts) -> Confinement:
    """Return from where a key works by these facts."""
    return Confinement(None if facts.is_open else facts.origins, facts.denied)


def in_lines(entries: Iterable[str | Mapping[str, Any]] | None) -> list[str]:
    """Return a list of allowed IPs as the audit trail has it: a line each."""
    return [AllowedIP(**_whole(each)).line for each in entries or ()]


def _whole(entry: str | Mapping[str, Any]) -> dict[str, Any]:
    said = {"network": entry} if isinstance(entry, str) else entry
    return {"deny": False, "comment": "", "active": True, **said}


def _origin_of(organization: Organization, terms: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts about from where the key works, as far as the terms say that."""
    said: dict[str, Any] = {}
    if "assign_server_ips" in terms:
        said["follows_servers"] = terms["assign_server_ips"]
        said["servers"] = tuple(organization.server_addresses.values_list("network", flat=True))
    if "allowed_ips" in terms:
        said |= lists_of(terms["allowed_ips"])
    return said


def _plain(value: Any) -> Any:
    match value:
        case Role() | User():
            return value.pk
        case Workspace():
            return str(value.pk)
        case Scope():
            return value.code
        case datetime():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
        case Mapping():
            return {name: _plain(inner) for name, inner in value.items()}
        case str() | bool() | int() | None:
            return value
    return [_plain(each) for each in value]


def _value(organization: Organization, name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _ROWS:
        return _row(organization, name, value)
    if name in _MOMENTS:
        return parse_datetime(value)
    return Decimal(value) if name == "limit" else value


def _row(organization: Organization, name: str, pk: Any) -> Any:
    available = {
        "role": Role.objects.available_to(organization),
        "workspace": Workspace.objects.filter(organization=organization),
        "owner": User.objects.all(),
    }[name]
    row = available.filter(pk=pk).first()
    if row is None:
        raise ValidationError({name: _("Somebody deleted this meanwhile.")})
    return row
