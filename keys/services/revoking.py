"""Revoke a key and wait until it is known everywhere."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from django.conf import settings

from keys import feed, policy
from keys.hosts import this_host
from keys.models import APIKey, Worker
from keys.policy import Actor
from keys.services.keys import revoke_key

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Revocation:
    """A revoked key, and who said to judge by nothing older.

    Hosts have their names for who oversees the installation, and for others only the part
    by which it finds them. None is in both lists; one on which nothing serves is in neither.
    """

    key: APIKey
    confirmed: list[str]
    missing: list[str]
    # However long a host says nothing, it trusts its memory no longer than that.
    lease_seconds: float


def revoke_key_everywhere(*, actor: Actor, key: APIKey, timeout: float | None = None) -> Revocation:
    """End a key for good, and return which hosts confirmed that no worker accepts it.

    Waits for them `timeout` seconds at most, by default two leases, after which those that
    are missing have stopped to trust what they remember. Call it outside of transactions:
    nobody hears of what is not committed. Raises as revoke_key does.
    """
    key = revoke_key(actor=actor, key=key)
    lease = settings.INVALIDATION_LEASE_SECONDS
    hosts = set(Worker.objects.live().values_list("host", flat=True))
    confirmed = _confirmed(hosts, 2 * lease if timeout is None else timeout)
    return Revocation(
        key=key,
        confirmed=_named_for(actor, confirmed),
        missing=_named_for(actor, hosts - confirmed),
        lease_seconds=lease,
    )


def _confirmed(hosts: set[str], timeout: float) -> set[str]:
    # What a transaction changes is seen at once by all workers of the host that it ran on.
    confirmed = hosts & {this_host(Path(settings.STATE_DIR))}
    if not feed.is_needed() or confirmed == hosts:
        return confirmed
    try:
        return confirmed | feed.confirmations(hosts - confirmed, timeout)
    except psycopg.Error as error:
        # The key is revoked all the same.
        logger.warning("Hosts could not be asked whether they know of a revocation: %s", error)
        return confirmed


def _named_for(actor: Actor, hosts: Iterable[str]) -> list[str]:
    if policy.oversees_installation(actor):
        return sorted(hosts)
    return sorted(host.rpartition("/")[2] for host in hosts)
