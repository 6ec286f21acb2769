"""From the secret that somebody presents to a snapshot of the key behind it."""

from collections.abc import Iterable

from django.conf import settings
from django.db.models import QuerySet

from keys import policy, secrets
from keys.models import AllowedIP, APIKey, KeySecret
from keys.verification import Snapshot, allowed_networks


def find_secret(presented: str) -> KeySecret | None:
    """Return the stored secret with its key, or None. A malformed one costs no query."""
    if secrets.find_format(presented) is None:
        return None
    digests = secrets.digests(presented, settings.KEY_PEPPERS)
    return _with_key().filter(digest__in=digests).first()


def load_secret(pk: int) -> KeySecret | None:
    """Return a stored secret with its key, for who proved otherwise that it is theirs."""
    return _with_key().filter(pk=pk).first()


def take(secret: KeySecret) -> Snapshot:
    """Return the snapshot of a key as one of its secrets opens it."""
    key = secret.key
    allowed, denied = address_lists(key, key.allowed_ips.all())
    return Snapshot(
        key_id=key.pk,
        organization_id=key.organization_id,
        is_revoked=key.revoked_at is not None,
        is_organization_suspended=key.organization.is_suspended,
        is_owner_gone=_is_owner_gone(key),
        is_locked=key.locked_at is not None,
        is_disabled=key.disabled,
        not_before=key.not_before,
        expires_at=key.expires_at,
        is_secret_revoked=secret.revoked_at is not None,
        retires_at=secret.ends_at,
        scopes=policy.held_scopes(key, key.organization),
        allowed=allowed,
        denied=denied,
    )


def address_lists(
    key: APIKey, rows: Iterable[AllowedIP], pool: Iterable[str] | None = None
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Return the networks that these rows allow a key (None: all) and those they deny it.

    `pool` is that of the organization's servers, where it is known; else it may be read.
    """
    active = [row for row in rows if row.active]
    own = [row.network for row in active if not row.deny]
    denied = tuple(row.network for row in active if row.deny)
    if key.assign_server_ips and pool is None:
        pool = key.organization.server_addresses.values_list("network", flat=True)
    return allowed_networks(own, pool if key.assign_server_ips else None), denied


def _with_key() -> QuerySet[KeySecret]:
    return KeySecret.objects.select_related(
        "key__organization", "key__owner", "key__role", "key__totals"
    ).prefetch_related("key__scopes", "key__role__scopes", "key__allowed_ips")


def _is_owner_gone(key: APIKey) -> bool:
    if key.owner is None:
        return False
    is_member = key.organization.memberships.filter(user=key.owner).exists()
    return not (key.owner.is_active and is_member)
