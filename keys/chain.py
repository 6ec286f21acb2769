"""How audit events are chained, so that altering, removing or inserting one shows. Pure.

Each event carries an HMAC-SHA256 over everything that is stored of it, its number in its chain
and the hash of the event before it. The key is not in the database: whoever can write there,
and no more, cannot make a chain that passes.
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from keys.encryption import derive_key

_CHAINING = "keyhaven: audit chain"
_NAMING = "keyhaven: name of an audit key"

# What an event's hash covers: every column but the hash itself.
EVENT_FIELDS = (
    *("id", "organization_id", "sequence", "at", "action"),
    *("actor_user_id", "actor_key_id", "actor_label"),
    *("object_type", "object_id", "object_label", "changes"),
    *("door", "address", "request_id", "previous_hash", "signed_under"),
)
# What a head's signature covers: every column but the signature itself.
HEAD_FIELDS = (
    *("chain", "sequence", "hash"),
    *("anchor_sequence", "anchor_hash", "anchored_at"),
    *("verified_sequence", "verified_at", "problem", "signed_under"),
)
# What is kept elsewhere of a head, to compare the chain with later.
WITNESS_FIELDS = ("chain", "sequence", "hash", "signed_under")


class UnknownKeyError(KeyError):
    """Something was signed under a key that this installation does not have."""


class Signer:
    """Signs with the first of its secrets, and checks what any of them signed."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """Take the secrets, the one in use first; there is one at least."""
        self._keys = {_name(secret): derive_key(secret, _CHAINING) for secret in reversed(secrets)}
        self.current = _name(secrets[0])

    def event_hash(self, event: Mapping[str, Any]) -> str:
        """Return the hash of an event, under the key that it names. Raises UnknownKeyError."""
        return self._sign("event", EVENT_FIELDS, event)

    def head_signature(self, head: Mapping[str, Any]) -> str:
        """Return the signature of a head, under the key that it names. Raises UnknownKeyError."""
        return self._sign("head", HEAD_FIELDS, head)

    def witness_signature(self, head: Mapping[str, Any]) -> str:
        """Return the signature of what is kept of a head elsewhere. Raises UnknownKeyError."""
        return self._sign("witness", WITNESS_FIELDS, head)

    def _sign(self, kind: str, fields: Sequence[str], values: Mapping[str, Any]) -> str:
        key = self._keys.get(values["signed_under"])
        if key is None:
            raise UnknownKeyError(values["signed_under"])
        return hmac.digest(key, f"{kind}\n{canonical(fields, values)}".encode(), "sha256").hex()


def secrets_in_order(
    audit_keys: Mapping[int, bytes], peppers: Mapping[int, bytes]
) -> tuple[bytes, ...]:
    """Return what a Signer takes: the newest audit key signs, or without any the newest pepper."""
    return tuple(
        secret
        for numbered in (audit_keys, peppers)
        for _number, secret in sorted(numbered.items(), reverse=True)
    )


def canonical(fields: Sequence[str], values: Mapping[str, Any]) -> str:
    """Return these of the values as JSON in its one spelling: sorted, ASCII, without spaces."""
    content = {name: _plain(name, values[name]) for name in fields}
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def plain_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event as JSON holds it, with its hash: what a file of the trail consists of."""
    return {name: _plain(name, event[name]) for name in (*EVENT_FIELDS, "hash")}


def is_equal(first: str, second: str) -> bool:
    """Compare two hashes, in a time that tells nothing."""
    return hmac.compare_digest(first.encode(), second.encode())


def _name(secret: bytes) -> str:
    # Tells nothing of the secret, and is the same wherever it is listed.
    return derive_key(secret, _NAMING).hex()[:8]


def _plain(name: str, value: Any) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case str() if name == "address":
            return _one_spelling(value)
        case str():
            return str(value)
    return value


def _one_spelling(address: str) -> str:
    # Databases write some addresses their own way.
    try:
        return str(ip_address(address))
    except ValueError:
        return address
