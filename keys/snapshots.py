"""From the secret that somebody presents to a snapshot of the key behind it.

What was found is remembered by each process, by a digest of the whole secret, and believed
as long as the generations say that nothing changed which it was made of.
"""

import hashlib
import os
import time
from collections.abc import Iterable
from functools import cache
from threading import Lock
from typing import Any, NamedTuple

from django.conf import settings
from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import QuerySet
from django.dispatch import receiver

from keys import entries, entry_query, imported_formats, policy, secrets
from keys.board import CLOCK, EVERYTHING, TRUST, is_settled, key_slot, organization_slot
from keys.entries import Entry
from keys.generations import board
from keys.models import AllowedIP, APIKey, KeySecret
from keys.verification import Snapshot, allowed_networks

# A digest that is no other process's, and costs a quarter of those that are stored.
_blank = hashlib.blake2b(key=os.urandom(64), digest_size=32)
# Digest of the secret -> entry; those that were read longest ago go first.
_remembered: dict[bytes, Entry] = {}
_remembering = Lock()


class Counts(NamedTuple):
    """How many entries this process remembers, and how it came by those it was asked for."""

    remembered: int
    from_memory: int
    from_database: int


_hits = _misses = 0
# So many unknown keys one after the other are somebody's guesses. Then the database is asked
# first whether there is such a key at all.
_MANY_GUESSES = 32
_guesses = 0


def find(presented: str) -> Entry | None:
    """Return what is known of the key of a secret, or None: from memory, or by one query.

    A malformed secret costs no query. Raises board.StateError.
    """
    global _hits
    if len(presented) > secrets.MAX_SECRET_LENGTH or not presented.isascii():
        return None
    digest = digest_of(presented.encode())
    entry = _remembered.get(digest)
    if entry is not None and is_current(entry):
        _hits += 1
        return entry
    if secrets.find_format(presented) is not None:
        return _load(digest, _digests(presented))
    digests = imported_formats.digests_of(presented, is_trusting=is_trusting())
    return _load(digest, digests) if digests else None


def recall(digest: bytes) -> Entry | None:
    """Return what is remembered of the key whose secret has this digest, and still true."""
    global _hits
    entry = _remembered.get(digest)
    if entry is None or not is_current(entry):
        return None
    _hits += 1
    return entry


def digest_of(text: bytes) -> bytes:
    """Return by what this process remembers a secret, or what holds one: nothing tells it."""
    state = _blank.copy()
    state.update(text)
    return state.digest()


def is_current(entry: Entry) -> bool:
    """Say whether nothing changed since the entry was read, as far as this host can know."""
    # In this order: what another host changed is in the slots before they may be trusted.
    if not is_trusting() or entry.generations is None:
        return False
    everything, key_slot, of_key, organization_slot, of_organization = entry.generations
    slots = board().slots
    return (
        slots[key_slot] == of_key
        and slots[organization_slot] == of_organization
        and slots[EVERYTHING] == everything
    )


def is_trusting() -> bool:
    """Say whether what this process remembers counts: other hosts' changes are heard of."""
    return _is_alone() or time.clock_gettime_ns(time.CLOCK_BOOTTIME) < board().slots[TRUST]


@cache
def _is_alone() -> bool:
    # SQLite's database is a file of this host.
    return connections[DEFAULT_DB_ALIAS].vendor == "sqlite"


def counts() -> Counts:
    """Return how much this process remembers, and how often that helped since it started."""
    return Counts(len(_remembered), _hits, _misses)


def remembered() -> list[Entry]:
    """Return what this process remembers now."""
    with _remembering:
        return list(_remembered.values())


def forget() -> None:
    """Let this process start with an empty memory."""
    with _remembering:
        _remembered.clear()


def _load(digest: bytes, digests: list[str]) -> Entry | None:
    global _misses, _guesses
    _misses += 1
    slots = board().slots
    before = slots[CLOCK]
    if _guesses >= _MANY_GUESSES and not entry_query.exists(digests):
        return None
    entry = entries.load(digests)
    if entry is None:
        _guesses += 1
        return None
    _guesses = 0
    if entry.pepper_id != secrets.current_pepper(settings.KEY_PEPPERS)[0]:
        # Its use writes the digest under the new pepper, and then it will be found by that.
        entry.is_plain = False
        return entry
    # What a transaction has seen may never have been.
    if not entry.is_steady or connections[DEFAULT_DB_ALIAS].in_atomic_block:
        return entry
    places = (key_slot(entry.key_id), organization_slot(entry.organization_id))
    everything, of_key, of_organization = values = [slots[place] for place in (EVERYTHING, *places)]
    if slots[CLOCK] == before and all(map(is_settled, values)):
        entry.generations = (everything, places[0], of_key, places[1], of_organization)
        _remember(digest, entry)
    return entry


def _digests(presented: str) -> list[str]:
    return [secrets.digest(presented, pepper) for pepper in settings.KEY_PEPPERS.values()]


@receiver(setting_changed, dispatch_uid="snapshots")
def _forget_all(setting: str, **kwargs: Any) -> None:
    # Settings change in tests alone.
    if setting == "KEY_PEPPERS":
        forget()


def _remember(digest: bytes, entry: Entry) -> None:
    if not settings.KEYS_REMEMBERED:
        return
    with _remembering:
        # Out and in again: the oldest come first.
        _remembered.pop(digest, None)
        while len(_remembered) >= settings.KEYS_REMEMBERED:
            del _remembered[next(iter(_remembered))]
        _remembered[digest] = entry


def find_secret(presented: str) -> KeySecret | None:
    """Return the stored secret with its key, or None. A malformed one costs no query."""
    if secrets.find_format(presented) is not None:
        digests = list(secrets.digests(presented, settings.KEY_PEPPERS))
    else:
        digests = imported_formats.digests_of(presented, is_trusting=is_trusting())
    return _with_key().filter(digest__in=digests).order_by("pk").first()


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
        is_owner_gone=is_owner_gone(key),
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


def is_owner_gone(key: APIKey) -> bool:
    """Say whether the key is of somebody who left the organization or may not sign in."""
    if key.owner is None:
        return False
    is_member = key.organization.memberships.filter(user=key.owner).exists()
    return not (key.owner.is_active and is_member)
