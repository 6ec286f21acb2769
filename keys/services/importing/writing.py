"""Write planned keys by the batch, with all that belongs to them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from keys import generations, upserts
from keys.models import (
    AllowedIP,
    APIKey,
    ImportedSecret,
    KeySecret,
    KeyUsage,
    RateLimit,
    Role,
    Scope,
    Workspace,
)
from keys.moves.candidates import Problem
from keys.policy import Actor
from keys.rules import Rules, broken_by
from keys.services import enforcing, rows
from keys.services.audit import Subject
from keys.services.importing.checking import Plan
from keys.services.importing.shapes import Shapes

Record = Callable[[Iterable[tuple[Subject, dict[str, Any]]]], None]


class Referred:
    """The workspaces, roles and scopes to which keys refer."""

    def __init__(self) -> None:
        self._workspaces: set[Workspace] = set()
        self._roles: set[Role] = set()
        self._scopes: set[Scope] = set()

    def add(self, plans: Sequence[Plan]) -> None:
        """Add what these keys refer to."""
        self._workspaces.update(plan.workspace for plan in plans)
        self._roles.update(plan.role for plan in plans if plan.role)
        self._scopes.update(scope for plan in plans for scope in plan.scopes)

    def hold(self) -> None:
        """Keep all of it until the transaction ends. Raises ValidationError where it is gone."""
        rows.hold("workspace", self._workspaces)
        rows.hold("role", self._roles)
        rows.hold("scopes", self._scopes)


def write(
    actor: Actor,
    plans: Sequence[Plan],
    shapes: Shapes,
    found: Rules,
    record: Record,
    *,
    is_trial: bool,
) -> list[Problem]:
    """Write these keys, or none of them and return what the organization's rules object to.

    `record` is given what the audit trail is to say of each. A trial writes none in any case.
    """
    with transaction.atomic(), generations.newborn():
        _write_keys(plans)
        problems = _objections(actor, plans, found) if found != Rules(found.organization) else []
        if problems or is_trial:
            transaction.set_rollback(True)
        else:
            _write_secrets(plans, shapes)
            record((Subject.of(plan.key), _describe(plan)) for plan in plans)
    return problems


def _write_keys(plans: Sequence[Plan]) -> None:
    referred = Referred()
    referred.add(plans)
    referred.hold()
    now = timezone.now()
    numbers = upserts.next_numbers(APIKey, len(plans))
    for plan, number in zip(plans, numbers, strict=True):
        plan.key.pk, plan.key.updated_at = number, now
    upserts.insert_all(APIKey, [plan.key for plan in plans])
    listed = [(plan.key.pk, scope.pk) for plan in plans for scope in plan.scopes]
    upserts.insert(APIKey.scopes.through, ("apikey", "scope"), listed)
    AllowedIP.objects.bulk_create(_belonging(plans, "allowed_ips"))
    RateLimit.objects.bulk_create(_belonging(plans, "rate_limits"))


def _write_secrets(plans: Sequence[Plan], shapes: Shapes) -> None:
    totals = [KeyUsage(pk=plan.key.pk, limit=plan.key.limit, **plan.totals) for plan in plans]
    upserts.insert_all(KeyUsage, totals)
    planned = [(plan.key.pk, each) for plan in plans for each in plan.secrets]
    numbers = upserts.next_numbers(KeySecret, len(planned))
    for (key_id, each), number in zip(planned, numbers, strict=True):
        each.row.pk, each.row.key_id = number, key_id
    upserts.insert_all(KeySecret, [each.row for _key_id, each in planned])
    origins = [
        (each.row.pk, shapes.row_of(each.shape).pk, each.origin, each.origin_pepper)
        for _key_id, each in planned
        if each.shape is not None
    ]
    upserts.insert(ImportedSecret, ("secret", "format", "digest", "pepper_id"), origins)


def _belonging(plans: Sequence[Plan], name: str) -> list[Any]:
    """Return rows of the keys' lists, as new ones of the keys as they are now."""
    found = []
    for plan in plans:
        for row in getattr(plan, name):
            row.pk, row._state.adding, row.key = None, True, plan.key
            found.append(row)
    return found


def _objections(actor: Actor, plans: Sequence[Plan], found: Rules) -> list[Problem]:
    now = timezone.now()
    pks = [plan.key.pk for plan in plans if plan.key.revoked_at is None]
    broken = broken_by(APIKey.objects.filter(pk__in=pks), found, now)
    problems = []
    for plan in plans:
        sentences = broken.get(plan.key.pk) or (
            enforcing.objections_to_new(
                actor, found, codes=plan.codes, end=plan.key.expires_at, now=now
            )
            if plan.key.revoked_at is None
            else []
        )
        if sentences:
            problems.append(Problem(plan.candidate.row, "", " ".join(sentences), ""))
    return problems


def _describe(plan: Plan) -> dict[str, Any]:
    """Return what the audit trail says of an imported key."""
    key = plan.key
    return {
        "name": key.name,
        "slug": key.slug,
        "owner": str(plan.owner) if plan.owner else None,
        "workspace": str(plan.workspace),
        "role": str(plan.role) if plan.role else None,
        "scopes": sorted(plan.codes),
        "not_before": key.not_before,
        "expires_at": key.expires_at,
        "disabled": key.disabled,
        "limit": key.limit,
        "limit_reset": key.limit_reset,
        "rate_limits": [str(row) for row in plan.rate_limits],
        "assign_server_ips": key.assign_server_ips,
        "allowed_ips": [str(row) for row in plan.allowed_ips],
        "label": plan.secrets[-1].row.label,
    }
