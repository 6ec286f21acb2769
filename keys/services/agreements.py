"""To what somebody agrees who was asked: what was asked for, or less."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from keys.models import APIKey, ApprovalRequest
from keys.models.approvals import ApprovalKind
from keys.networks import Confinement
from keys.services import approval_terms
from keys.services.allowed_ips import Entry, build_allowed_ips
from keys.services.keys import UNSAID


def narrowed(
    request: ApprovalRequest,
    *,
    scopes: Iterable[str],
    expires_at: datetime | None,
    allowed_ips: Iterable[Entry],
) -> dict[str, Any]:
    """Return the terms of a request as they are agreed to; what is UNSAID stays as asked for.

    `allowed_ips` is the whole list that the key then has. Raises ValidationError by field where
    that would be more than was asked for, or part of a role.
    """
    said = {"scopes": scopes, "expires_at": expires_at, "allowed_ips": allowed_ips}
    said = {name: value for name, value in said.items() if value is not UNSAID}
    if request.kind == ApprovalKind.ROLE:
        _refuse_part_of_role(said)
    terms = dict(request.terms)
    for name, value in said.items():
        terms |= _NARROWED[name](request, value)
    return terms


def _fewer_scopes(request: ApprovalRequest, scopes: Iterable[str]) -> dict[str, Any]:
    wanted, asked = set(scopes), approval_terms.scopes_of(request.organization, request.terms)
    if not wanted <= asked:
        raise ValidationError({"scopes": _("Approve what was asked for, or less.")})
    if asked and not wanted:
        raise ValidationError({"scopes": _("Leave at least one scope, or deny the request.")})
    return {} if wanted == asked else {"role": None, "scopes": sorted(wanted)}


def _earlier_end(request: ApprovalRequest, expires_at: datetime | None) -> dict[str, Any]:
    asked = _asked_end(request)
    if asked is not None and (expires_at is None or expires_at > asked):
        raise ValidationError({"expires_at": _("Approve what was asked for, or less.")})
    return approval_terms.pack({"expires_at": expires_at})


def _asked_end(request: ApprovalRequest) -> datetime | None:
    """Return until when the key would live: who asks for other things leaves its end alone."""
    if request.key is not None and "expires_at" not in request.terms:
        return request.key.expires_at
    return approval_terms.end_of(request.terms)


def _fewer_addresses(request: ApprovalRequest, entries: Iterable[Entry]) -> dict[str, Any]:
    key = request.key or APIKey(organization=request.organization)
    wanted, asked = _spelled(key, entries), _spelled(key, approval_terms.asked_entries(request))
    if wanted == asked:
        return {}
    asked_from = approval_terms.confinement_of(approval_terms.facts_of(request))
    less = approval_terms.facts_of(request, {**request.terms, "allowed_ips": wanted})
    confined = approval_terms.confinement_of(less)
    if not confined.is_within(asked_from):
        raise ValidationError({"allowed_ips": _too_much(confined, asked_from)})
    return {"allowed_ips": wanted}


def _too_much(wanted: Confinement, asked: Confinement) -> str:
    """Say which addresses go beyond what was asked for."""
    if wanted.allowed is None:
        return _("It would work from everywhere. Approve what was asked for, or less.")
    each_alone = {one: Confinement((one,), wanted.denied) for one in wanted.allowed}
    beyond = [one for one, alone in each_alone.items() if not alone.is_within(asked)]
    return _("More than was asked for: %(networks)s. Approve what was asked for, or less.") % {
        "networks": ", ".join(beyond)
    }


def _spelled(key: APIKey, entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Return the entries of a list in their one spelling. Raises ValidationError."""
    return [approval_terms.entry_of(row) for row in build_allowed_ips(key, entries)]


def _refuse_part_of_role(said: dict[str, Any]) -> None:
    # What a role gives is the role's to say, and nobody holds it until some day.
    problem = _("A role is given as a whole: approve it, or deny it.")
    if said:
        raise ValidationError(dict.fromkeys(said, problem))


_NARROWED: dict[str, Callable[[ApprovalRequest, Any], dict[str, Any]]] = {
    "scopes": _fewer_scopes,
    "expires_at": _earlier_end,
    "allowed_ips": _fewer_addresses,
}
