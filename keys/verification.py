"""Is this key good, from here, for this? A pure decision over a snapshot of a key.

API authentication, `POST /v1/verify`, `GET /v1/auth` and every explanation come
from `judge`. What it cannot decide alone are rate limits, which others use up too
(rates.py), and the limit, which must be charged atomically (usage.py): they come last,
in this order, after everything here said yes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from keys import networks
from keys.networks import Address


class Code(StrEnum):
    """The outcome of a verification; counted, and told to those allowed to know."""

    VALID = "VALID"
    NOT_FOUND = "NOT_FOUND"
    REVOKED = "REVOKED"
    ORGANIZATION_SUSPENDED = "ORGANIZATION_SUSPENDED"
    OWNER_GONE = "OWNER_GONE"
    LOCKED = "LOCKED"
    DISABLED = "DISABLED"
    NOT_YET_VALID = "NOT_YET_VALID"
    EXPIRED = "EXPIRED"
    # The secret was replaced by a rotation whose overlap is over; the key lives on.
    SECRET_RETIRED = "SECRET_RETIRED"  # noqa: S105
    FORBIDDEN_ADDRESS = "FORBIDDEN_ADDRESS"
    INSUFFICIENT_SCOPES = "INSUFFICIENT_SCOPES"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    RATE_LIMITED = "RATE_LIMITED"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything about a key and one of its secrets that a decision needs."""

    key_id: int
    organization_id: int
    is_revoked: bool
    is_organization_suspended: bool
    is_owner_gone: bool
    is_locked: bool
    is_disabled: bool
    not_before: datetime | None
    expires_at: datetime | None
    is_secret_revoked: bool
    retires_at: datetime | None
    # What the key may really do today: its scopes, narrowed by what its owner holds.
    scopes: frozenset[str]
    # Canonical networks. `allowed` None: from anywhere; empty: from nowhere.
    allowed: tuple[str, ...] | None
    denied: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a key: at which moment, from which address, for which scopes."""

    now: datetime
    address: Address | None
    scopes: frozenset[str] = frozenset()


def _is_retired(snapshot: Snapshot, question: Question) -> bool:
    return snapshot.is_secret_revoked or (
        snapshot.retires_at is not None and snapshot.retires_at <= question.now
    )


def is_address_allowed(snapshot: Snapshot, address: Address | None) -> bool:
    """Say whether the key may be used from there; an unknown address passes no list."""
    return passes_lists(snapshot.allowed, snapshot.denied, address)


def allowed_networks(own: Iterable[str], pool: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return from which networks a key may be used, by its own list and a pool that it follows.

    `pool` None: it follows none. The answer None: from all.
    """
    # The pool counts even when it is empty: emptying it must not open the key to all.
    return tuple(own) or None if pool is None else (*own, *pool)


def passes_lists(
    allowed: Sequence[str] | None, denied: Sequence[str], address: Address | None
) -> bool:
    """Say whether lists of canonical networks let an address through; `allowed` None: all."""
    if allowed is None and not denied:
        return True
    if address is None or networks.contains(denied, address):
        return False
    return allowed is None or networks.contains(allowed, address)


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a decision: the outcome that it refuses with, its verdict, and its inputs.

    `of_key` and `of_question` map the fields of Snapshot and Question that it compared to
    their values.
    """

    code: Code
    passes: bool
    of_key: Mapping[str, Any]
    of_question: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Rule:
    code: Code
    refuses: Callable[[Snapshot, Question], bool]
    # The fields that it looks at.
    of_key: tuple[str, ...]
    of_question: tuple[str, ...] = ()

    def check(self, snapshot: Snapshot, question: Question) -> Check:
        return Check(
            self.code,
            passes=not self.refuses(snapshot, question),
            of_key={field: getattr(snapshot, field) for field in self.of_key},
            of_question={field: getattr(question, field) for field in self.of_question},
        )


# In the order in which they are asked; the first that refuses names the outcome.
_RULES = (
    _Rule(Code.REVOKED, lambda key, question: key.is_revoked, ("is_revoked",)),
    _Rule(
        Code.ORGANIZATION_SUSPENDED,
        lambda key, question: key.is_organization_suspended,
        ("is_organization_suspended",),
    ),
    _Rule(Code.OWNER_GONE, lambda key, question: key.is_owner_gone, ("is_owner_gone",)),
    _Rule(Code.LOCKED, lambda key, question: key.is_locked, ("is_locked",)),
    _Rule(Code.DISABLED, lambda key, question: key.is_disabled, ("is_disabled",)),
    _Rule(
        Code.NOT_YET_VALID,
        lambda key, question: key.not_before is not None and key.not_before > question.now,
        ("not_before",),
        ("now",),
    ),
    _Rule(
        Code.EXPIRED,
        lambda key, question: key.expires_at is not None and key.expires_at <= question.now,
        ("expires_at",),
        ("now",),
    ),
    _Rule(Code.SECRET_RETIRED, _is_retired, ("is_secret_revoked", "retires_at"), ("now",)),
    _Rule(
        Code.FORBIDDEN_ADDRESS,
        lambda key, question: not is_address_allowed(key, question.address),
        ("allowed", "denied"),
        ("address",),
    ),
    _Rule(
        Code.INSUFFICIENT_SCOPES,
        lambda key, question: not question.scopes <= key.scopes,
        ("scopes",),
        ("scopes",),
    ),
)


def judge(snapshot: Snapshot | None, question: Question) -> Code:
    """Return the outcome: VALID, or the first reason against it."""
    if snapshot is None:
        return Code.NOT_FOUND
    return next((rule.code for rule in _RULES if rule.refuses(snapshot, question)), Code.VALID)


def steady_until(snapshot: Snapshot, now: datetime) -> datetime | None:
    """Return the next moment at which an outcome may change by itself; None: it never does."""
    moments = (snapshot.not_before, snapshot.expires_at, snapshot.retires_at)
    return min((each for each in moments if each is not None and each > now), default=None)


def explain(snapshot: Snapshot, question: Question) -> list[Check]:
    """Return every check with its inputs, in the order in which `judge` asks them."""
    return [rule.check(snapshot, question) for rule in _RULES]


def refusing(checks: Iterable[Check]) -> list[Code]:
    """Return the outcomes of the checks that do not pass; `judge` gives the first of them."""
    return [check.code for check in checks if not check.passes]


def missing_scopes(snapshot: Snapshot, asked: Set[str]) -> list[str]:
    """Return the scopes asked for that the key does not have, sorted."""
    return sorted(asked - snapshot.scopes)
