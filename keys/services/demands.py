"""From where whoever approved a key lets it be used, until somebody else agrees to more."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keys import policy, snapshots
from keys.models import AllowedIP, APIKey, ApprovalRequest
from keys.models.approvals import ApprovalStatus
from keys.networks import Confinement
from keys.policy import Actor
from keys.roles import Permission
from keys.services import approval_reasons, approval_terms
from keys.services.approval_reasons import Reason
from keys.verification import allowed_networks

# What says from where a key works.
FIELDS = frozenset({"allowed_ips", "assign_server_ips"})


@dataclass(frozen=True)
class Demand:
    """What was demanded, of whom one may ask for more, and why."""

    confinement: Confinement
    reason: Reason


def demand_on(actor: Actor, key: APIKey, *, follows_servers: bool) -> Demand | None:
    """Return within which addresses the actor alone has to keep a key; None: any.

    `follows_servers` says whether the key does that before a change. Who might approve the
    request may go beyond what was demanded then, and whoever asked may not.
    """
    decided = _decided(key)
    request = _demanding(decided)
    if request is None or policy.allows(actor, Permission.APPROVE_APPROVALREQUEST, request):
        return None
    lists = approval_terms.lists_of(_approved(request)["allowed_ips"])
    pool = None
    if _last_said(decided, "assign_server_ips", follows_servers):
        pool = tuple(key.organization.server_addresses.values_list("network", flat=True))
    allowed = allowed_networks(lists["allowed"], pool)
    networks = [*(allowed or ()), *(f"!{network}" for network in lists["denied"])]
    return Demand(
        Confinement(allowed, lists["denied"]),
        approval_reasons.by_addresses(_approver(request), networks),
    )


def reason_against(actor: Actor, key: APIKey, changed: Mapping[str, list[Any]]) -> Reason | None:
    """Say why somebody else has to agree to from where a key works now; None: nobody has to."""
    if not FIELDS & changed.keys():
        return None
    before, *_now = changed.get("assign_server_ips", [key.assign_server_ips])
    demand = demand_on(actor, key, follows_servers=before)
    if demand is None:
        return None
    rows = AllowedIP.objects.filter(key=key)
    is_within = Confinement(*snapshots.address_lists(key, rows)).is_within(demand.confinement)
    return None if is_within else demand.reason


def _approver(request: ApprovalRequest) -> str:
    return request.decided_by.name_and_address if request.decided_by else ""


def _decided(key: APIKey) -> list[ApprovalRequest]:
    """Return what was approved of a key and carried out, the last first."""
    done = key.approval_requests.filter(status=ApprovalStatus.DONE)
    return list(done.select_related("decided_by", "organization").order_by("-decided_at", "-pk"))


def _demanding(decided: list[ApprovalRequest]) -> ApprovalRequest | None:
    """Return the request on which addresses were decided last, if fewer were ever approved.

    What was then agreed to as it was asked for takes the place of what was demanded before:
    else one got rid of a demand by asking for its own list beside something else.
    """
    said = [each for each in decided if "allowed_ips" in _approved(each)]
    is_demanded = any("allowed_ips" in approval_terms.narrowings(each) for each in said)
    return said[0] if is_demanded else None


def _last_said(decided: list[ApprovalRequest], name: str, otherwise: Any) -> Any:
    said = (terms[name] for terms in map(_approved, decided) if name in terms)
    return next(said, otherwise)


def _approved(request: ApprovalRequest) -> dict[str, Any]:
    return request.approved_terms or {}
