"""What every change of a key goes through: authorize, lock the row, refuse, record."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils.translation import gettext as _

from keys import generations, policy
from keys.models import APIKey, ApprovalRequest
from keys.policy import Actor
from keys.roles import Permission
from keys.services import audit, enforcing, grants
from keys.services.rate_limits import describe_rate_limits

# A key may rename itself; everything else about itself is for others to decide.
_CHANGEABLE_BY_ITSELF = frozenset({"name", "description"})


@contextmanager
def changing(
    actor: Actor,
    key: APIKey,
    fields: Iterable[str],
    *,
    approval: ApprovalRequest | None = None,
    action: str = "",
) -> Iterator[APIKey]:
    """Open a key for a change of these fields: yield its locked row, then record the difference.

    Recorded as `action`, by default as that it was changed, disabled or enabled.
    Raises PermissionDenied, also when the key is then wider than the actor may give or the
    actor may not say what bounds it; ValidationError by field when it then breaks a rule of
    the organization; ApprovalRequiredError unless `approval` is given where it takes one; and
    APIKey.DoesNotExist when the key was revoked meanwhile.
    """
    if actor == key and not set(fields) <= _CHANGEABLE_BY_ITSELF:
        raise PermissionDenied(_("A key can change only its own name and description."))
    with transaction.atomic():
        key = open_key(actor, key, Permission.CHANGE_APIKEY)
        before = describe(key)
        yield key
        changed = _difference(key, before)
        grants.refuse_release(actor, key, changed)
        grants.refuse_wider(actor, key, changed)
        enforcing.enforce(actor, key, changed, approval=approval)
        _record_changes(actor, key, changed, action)


def open_key(actor: Actor, key: APIKey, permission: Permission) -> APIKey:
    """Return the key as it is now, locked until the transaction ends, if the actor may.

    Raises PermissionDenied, and APIKey.DoesNotExist when the key is revoked: nothing
    brings it back.
    """
    policy.require(actor, permission, key)
    # `no_key`: whoever counts a use meanwhile need not wait, nor do we for them.
    key = APIKey.objects.live().select_for_update(no_key=True).get(pk=key.pk)
    generations.note_key(key.pk)
    is_stopped = policy.is_locked_for(key, permission)
    if is_stopped and not policy.allows(actor, Permission.LOCK_APIKEY, key):
        raise PermissionDenied(_("Staff locked this key; only they can change it."))
    return key


def describe(key: APIKey) -> dict[str, Any]:
    """Return the settings of a key by field, as the audit trail records them."""
    return {
        "name": key.name,
        "slug": key.slug,
        "description": key.description,
        "owner": str(key.owner) if key.owner else None,
        "workspace": str(key.workspace),
        "role": str(key.role) if key.role else None,
        "scopes": sorted(key.scope_codes),
        "not_before": key.not_before,
        "expires_at": key.expires_at,
        "disabled": key.disabled,
        "limit": key.limit,
        "limit_reset": key.limit_reset,
        "include_byok_in_limit": key.include_byok_in_limit,
        "rate_limits": describe_rate_limits(key),
        "assign_server_ips": key.assign_server_ips,
        "allowed_ips": [row.line for row in key.allowed_ips.all()],
        "external_user": key.external_user,
    }


def _difference(key: APIKey, before: dict[str, Any]) -> dict[str, list[Any]]:
    return {
        field: [before[field], value]
        for field, value in describe(key).items()
        if before[field] != value
    }


def _record_changes(actor: Actor, key: APIKey, changed: dict[str, list[Any]], action: str) -> None:
    if not changed:
        return
    audit.record(
        actor=actor,
        action=action or _action_of(key, changed),
        obj=key,
        organization=key.organization,
        changes=changed,
    )


def _action_of(key: APIKey, changed: dict[str, list[Any]]) -> str:
    if set(changed) == {"disabled"}:
        return "apikey.disabled" if key.disabled else "apikey.enabled"
    return "apikey.updated"
