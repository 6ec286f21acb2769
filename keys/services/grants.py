"""Nobody gives a key more than they hold.

People and keys are bound by the scopes they hold. A key that does not manage the
organization is bound by everything that bounds itself: a short-lived or confined key
that leaked could otherwise issue itself a lasting, open one. One that has a limit or rate
limits issues none at all: each of them would have the amount anew.
"""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _

from keys import policy, snapshots
from keys.models import AllowedIP, APIKey, Organization, RateLimit, User
from keys.networks import Confinement
from keys.policy import Actor
from keys.roles import BuiltInScope

# What is used up, and would be there anew for every key that got some.
_AMOUNTS = frozenset({"limit", "limit_reset", "include_byok_in_limit", "rate_limits"})

# What keeps a key from doing all that its scopes say.
_BOUNDING = _AMOUNTS | {
    "not_before",
    "expires_at",
    "disabled",
    "assign_server_ips",
    "allowed_ips",
}


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
    refuse_wider(actor, key, ["expires_at", "limit", "allowed_ips", "rate_limits"])


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
    if fields & _AMOUNTS:
        _refuse_multiplying(bounds)
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
    rows = [] if bounds is None else list(bounds.allowed_ips.filter(active=True))
    return {
        "expires_at": bounds.expires_at if bounds else None,
        # A key that has one issues none.
        "limit": None,
        "limit_reset": None,
        "include_byok_in_limit": False,
        "rate_limits": [],
        "assign_server_ips": bounds.assign_server_ips if bounds else False,
        "allowed_ips": [
            {"network": row.network, "deny": row.deny, "comment": row.comment} for row in rows
        ],
    }


def _confinement_of(key: APIKey) -> Confinement:
    return Confinement(*snapshots.address_lists(key, AllowedIP.objects.filter(key=key)))


def _refuse_outliving(bounds: APIKey, key: APIKey) -> None:
    latest = bounds.expires_at
    if latest is not None and (key.expires_at is None or key.expires_at > latest):
        raise PermissionDenied(
            _("Without MANAGE, a key cannot issue or extend one beyond its own expiry, %(at)s UTC.")
            % {"at": f"{latest:%Y-%m-%d %H:%M}"}
        )


def _refuse_multiplying(bounds: APIKey) -> None:
    # However little each of several keys may do, together they would exceed this one.
    if bounds.limit is not None or RateLimit.objects.filter(key=bounds).exists():
        raise PermissionDenied(
            _(
                "Without MANAGE, a key that has a limit or rate limits cannot issue keys, rotate "
                "others, or change what these may spend and how often they may be used."
            )
        )


def _refuse_elsewhere(bounds: APIKey, key: APIKey) -> None:
    follows_more = key.assign_server_ips and not (
        bounds.assign_server_ips or _confinement_of(bounds) == Confinement(None, ())
    )
    if follows_more or not _confinement_of(key).is_within(_confinement_of(bounds)):
        raise PermissionDenied(
            _("Without MANAGE, a key cannot let another be used from where it may not be itself.")
        )
