"""What is known of a key by one of its secrets: enough to judge it, and to answer who it is."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from keys import entry_query, rates
from keys.models import APIKey, KeySecret, User
from keys.verification import Snapshot, allowed_networks


class Owner(NamedTuple):
    """The person that a key acts for."""

    id: int
    email: str
    display_name: str


@dataclass(slots=True, eq=False)
class Entry:
    """A key as one of its secrets opens it, at the moment when it was read."""

    secret_id: int
    nonce: str
    pepper_id: int
    # When an old secret stops working at the latest, however much it is used.
    secret_ends_at: datetime | None
    # Whether the next judgement can be made from the same entry: that of an old secret which
    # ends some hours after its last use cannot, as each use moves its end.
    is_steady: bool
    snapshot: Snapshot
    name: str
    slug: str
    label: str
    organization_slug: str
    workspace_id: UUID
    owner: Owner | None
    role: str | None
    external_user: str | None
    limit: Decimal | None
    limit_reset: str | None
    include_byok_in_limit: bool
    rates: tuple[rates.Rate, ...]
    limiter_failure: str
    # Whether nothing but its snapshot decides: no limit is spent, no use moves its end.
    is_plain: bool
    # Whether it matters where the key is used from.
    is_confined: bool
    # For which values of the generations' slots it is true: of everything, then number and
    # value of the key's slot and of the organization's. None: it is not to be remembered.
    generations: tuple[int, int, int, int, int] | None = None
    # What the gate worked out from it.
    memory: dict[Any, Any] = field(default_factory=dict)
    _key: APIKey | None = None

    @property
    def key_id(self) -> int:
        return self.snapshot.key_id

    @property
    def organization_id(self) -> int:
        return self.snapshot.organization_id

    def key(self) -> APIKey:
        """Return the key as an instance of the caller's own, with what it belongs to.

        Read once, when it is first asked for. Raises APIKey.DoesNotExist.
        """
        if self._key is None:
            found = entry_query.fetch_key(self.key_id)
            if found is None:
                raise APIKey.DoesNotExist
            self._key, scopes = found
            self._key.known_scopes = list(_pairs(scopes))
        return _copied(self._key)


def load(digests: Sequence[str]) -> Entry | None:
    """Return the entry of the secret with one of these digests, or None. One query."""
    return _load("digest", digests)


def load_by_id(secret_id: int) -> Entry | None:
    """Return the entry of a secret, for who proved otherwise that it is theirs. One query."""
    return _load("pk", [secret_id])


def _load(field_name: str, values: Sequence[Any]) -> Entry | None:
    row = entry_query.fetch(field_name, values)
    return None if row is None else _assemble(row)


def _copied(row: Any) -> Any:
    """Return a row that can be changed without the other: with related rows of its own."""
    twin = object.__new__(row.__class__)
    twin.__dict__.update(row.__dict__)
    twin._state = state = object.__new__(row._state.__class__)
    state.__dict__.update(row._state.__dict__)
    state.fields_cache = {
        name: None if related is None else _copied(related)
        for name, related in row._state.fields_cache.items()
    }
    return twin


def _assemble(row: dict[str, Any]) -> Entry:
    owner = None
    if row["owner_id"] is not None:
        shown = _display_name(row["first_name"], row["last_name"], row["email"])
        owner = Owner(row["owner_id"], row["email"], shown)
    ends_at = row["retires_at"]
    if row["superseded_at"] is not None:
        ends_at = KeySecret(
            superseded_at=row["superseded_at"],
            retires_at=row["retires_at"],
            quiet_hours=row["quiet_hours"],
            last_used_at=row["secret_last_used_at"],
        ).ends_at
    shared_rates = _rates(rates.ORGANIZATION, row["organization_id"], row["shared_rates"])
    all_rates = _rates(rates.KEY, row["key_id"], row["own_rates"]) + shared_rates
    is_steady = row["superseded_at"] is None or row["quiet_hours"] is None
    networks = _pairs(row["networks"])
    own = tuple(network for network, denies in networks if not denies)
    pool = _texts(row["pool"]) if row["follows_pool"] else None
    snapshot = Snapshot(
        key_id=row["key_id"],
        organization_id=row["organization_id"],
        is_revoked=row["revoked_at"] is not None,
        is_organization_suspended=row["suspended_at"] is not None,
        is_owner_gone=owner is not None and not (row["is_active"] and row["is_member"]),
        is_locked=row["locked_at"] is not None,
        is_disabled=row["disabled"],
        not_before=row["not_before"],
        expires_at=row["expires_at"],
        is_secret_revoked=row["secret_revoked_at"] is not None,
        retires_at=ends_at,
        # Who may not sign in holds nothing, and so do their keys.
        scopes=_codes(row["scopes"]) if owner is None or row["is_active"] else frozenset(),
        allowed=allowed_networks(own, pool),
        denied=tuple(network for network, denies in networks if denies),
    )
    return Entry(
        secret_id=row["secret_id"],
        nonce=row["nonce"],
        pepper_id=row["pepper_id"],
        secret_ends_at=row["retires_at"],
        is_steady=is_steady,
        snapshot=snapshot,
        name=row["name"],
        slug=row["slug"],
        label=row["label"],
        organization_slug=row["organization_slug"],
        workspace_id=row["workspace_id"],
        owner=owner,
        role=row["role"],
        external_user=row["external_user"],
        limit=row["limit"],
        limit_reset=row["limit_reset"],
        include_byok_in_limit=row["include_byok_in_limit"],
        rates=all_rates,
        limiter_failure=row["limiter_failure"],
        is_plain=(row["limit"], row["limit_reset"]) == (None, None) and not all_rates and is_steady,
        is_confined=snapshot.allowed is not None or bool(snapshot.denied),
    )


# Most keys say the same here: each text is read once, and what it says is kept once.


@lru_cache(maxsize=4096)
def _display_name(first_name: str, last_name: str, email: str) -> str:
    return User(first_name=first_name, last_name=last_name, email=email).display_name


@lru_cache(maxsize=4096)
def _texts(listed: str | None) -> tuple[str, ...]:
    return tuple(json.loads(listed or "[]"))


@lru_cache(maxsize=4096)
def _codes(listed: str | None) -> frozenset[str]:
    return frozenset(_texts(listed))


@lru_cache(maxsize=4096)
def _pairs(listed: str | None) -> tuple[tuple[Any, Any], ...]:
    # SQLite lists lists as texts.
    rows = [json.loads(row) if isinstance(row, str) else row for row in json.loads(listed or "[]")]
    return tuple((first, second) for first, second in rows)


def _rates(owner: str, pk: int, listed: str | None) -> tuple[rates.Rate, ...]:
    found = [rates.Rate(owner, pk, amount, period) for amount, period in _pairs(listed)]
    return tuple(sorted(found, key=lambda rate: rate.seconds))
