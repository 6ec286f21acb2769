"""Nobody gives a key more than they hold.

People and keys are bound by the scopes they hold. A key that does not manage the
organization is bound by everything that bounds itself: a short-lived, confined or
limited key that leaked could otherwise issue itself a lasting, open, unlimited one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _

from keys import networks, policy, snapshots
from keys.models import AllowedIP, APIKey, Organization, User
from keys.models.usage import RESETS
from keys.policy import Actor
from keys.roles import BuiltInScope

# What keeps a key from doing all that its scopes say.
_BOUNDING = frozenset(
    {
        "not_before",
        "expires_at",
        "disabled",
        "limit",
        "limit_reset",
        "include_byok_in_limit",
        "assign_server_ips",
        "allowed_ips",
    }
)


def refuse_beyond(actor: Actor, organization: Organization, codes: Iterable[str]) -> None:
    """Raise PermissionDenied when the actor would give a scope that it does not hold."""
    beyond = set(codes) - policy.held_scopes(actor, organization)
    if beyond:
        raise PermissionDenied(
            _("You cannot give a scope that you do not hold: %(codes)s.")
            % {"codes": ", ".join(sorted(beyond))}
        )


def refuse_takeover(actor: Actor, key: APIKey) -> None:
    """Raise PermissionDenied when the secret of this key would give the actor more than it has.

    A key may renew itself, and a person their own keys: these never exceed them.
    """
    if actor == key or (isinstance(actor, User) and actor.pk == key.owner_id):
        return
    # What the key lists, not what its owner holds today: that may come back.
    refuse_beyond(actor, key.organization, key.scope_codes)
    refuse_wider(actor, key, ["expires_at", "limit", "allowed_ips"])


def refuse_release(actor: Actor, key: APIKey, fields: Iterable[str]) -> None:
    """Raise PermissionDenied when the actor changed what bounds a key that may do more than it.

    Whoever lets such a key work again, longer or from elsewhere gives what they do not
    hold. Stopping it only narrows.
    """
    fields = set(fields) - ({"disabled"} if key.disabled else set())
    if bounds_of(actor) is not None and fields & _BOUNDING:
        # What the key lists, not what its owner holds today: that may come back.
        refuse_beyond(actor, key.organization, key.scope_codes)


def refuse_wider(actor: Actor, key: APIKey, fields: Iterable[str]) -> None:
    """Raise PermissionDenied when the key, in these fields, is wider than what bounds the actor."""
    bounds = bounds_of(actor)
    if bounds is None:
        return
    fields = set(fields)
    if fields & {"expires_at"}:
        _refuse_outliving(bounds, key)
    if fields & {"limit", "limit_reset", "include_byok_in_limit"}:
        _refuse_outspending(bounds, key)
    if fields & {"allowed_ips", "assign_server_ips"}:
        _refuse_elsewhere(bounds, key)


def bounds_of(actor: Actor) -> APIKey | None:
    """Return the key whose own bounds hold for what the actor issues; None: there are none."""
    if not isinstance(actor, APIKey):
        return None
    held = policy.held_scopes(actor, actor.organization)
    return None if BuiltInScope.MANAGE in held else actor


def inherited(actor: Actor) -> dict[str, Any]:
    """Return what a new key gets where its issuer says nothing, by field of issue_key()."""
    bounds = bounds_of(actor)
    if bounds is None:
        bounds, rows = APIKey(), []
    else:
        rows = list(bounds.allowed_ips.filter(active=True))
    is_limited = bounds.limit is not None
    return {
        "expires_at": bounds.expires_at,
        "limit": bounds.limit,
        "limit_reset": bounds.limit_reset if is_limited else None,
        "include_byok_in_limit": bounds.include_byok_in_limit and is_limited,
        "assign_server_ips": bounds.assign_server_ips,
        "allowed_ips": [
            {"network": row.network, "deny": row.deny, "comment": row.comment} for row in rows
        ],
    }


@dataclass(frozen=True)
class _Confinement:
    # As in a verification: `allowed` None is from anywhere.
    allowed: tuple[str, ...] | None
    denied: tuple[str, ...]

    @classmethod
    def of(cls, key: APIKey) -> "_Confinement":
        return cls(*snapshots.address_lists(key, AllowedIP.objects.filter(key=key)))

    def is_within(self, outer: "_Confinement") -> bool:
        """Say whether `outer` allows every address that this allows."""
        if outer.allowed is not None and (
            self.allowed is None
            or not all(networks.covers(outer.allowed, network) for network in self.allowed)
        ):
            return False
        return all(self._refuses(network) for network in outer.denied)

    def _refuses(self, network: str) -> bool:
        if networks.covers(self.denied, network):
            return True
        return self.allowed is not None and not networks.meets(self.allowed, network)


def _refuse_outliving(bounds: APIKey, key: APIKey) -> None:
    latest = bounds.expires_at
    if latest is not None and (key.expires_at is None or key.expires_at > latest):
        raise PermissionDenied(
            _("Without MANAGE, a key cannot issue or extend one beyond its own expiry, %(at)s UTC.")
            % {"at": f"{latest:%Y-%m-%d %H:%M}"}
        )


def _refuse_outspending(bounds: APIKey, key: APIKey) -> None:
    if bounds.limit is None:
        return
    is_within = (
        key.limit is not None
        and key.limit <= bounds.limit
        and RESETS.index(key.limit_reset) <= RESETS.index(bounds.limit_reset)
        and key.include_byok_in_limit >= bounds.include_byok_in_limit
    )
    if not is_within:
        raise PermissionDenied(
            _("Without MANAGE, a key cannot let another spend more than its own limit.")
        )


def _refuse_elsewhere(bounds: APIKey, key: APIKey) -> None:
    follows_more = key.assign_server_ips and not (
        bounds.assign_server_ips or _Confinement.of(bounds) == _Confinement(None, ())
    )
    if follows_more or not _Confinement.of(key).is_within(_Confinement.of(bounds)):
        raise PermissionDenied(
            _("Without MANAGE, a key cannot let another be used from where it may not be itself.")
        )
