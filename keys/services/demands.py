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
    request = _demanding(key)
    if request is None or policy.allows(actor, Permission.APPROVE_APPROVALREQUEST, request):
        return None
    terms = request.approved_terms or {}
    lists = approval_terms.lists_of(terms["allowed_ips"])
    allowed = lists["allowed"]
    if terms.get("assign_server_ips", follows_servers):
        allowed += tuple(key.organization.server_addresses.values_list("network", flat=True))
    networks = [*allowed, *(f"!{network}" for network in lists["denied"])]
    return Demand(
        Confinement(allowed or None, lists["denied"]),
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


def _demanding(key: APIKey) -> ApprovalRequest | None:
    """Return the request on which the addresses were decided last, if fewer were approved."""
    decided = key.approval_requests.filter(status=ApprovalStatus.DONE)
    for request in decided.select_related("decided_by", "organization").order_by("-decided_at"):
        terms = request.approved_terms or {}
        if "allowed_ips" in terms:
            return request if terms["allowed_ips"] != request.terms.get("allowed_ips") else None
    return None
