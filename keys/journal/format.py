"""How a segment looks: numbers, records, texts and addresses. Pure."""

import ipaddress
import json
import re
import struct
from dataclasses import dataclass
from functools import lru_cache

from keys import roles, secrets

# What is written under these numbers is read by them: numbers are added, never changed.
OUTCOMES = {
    "VALID": 1,
    "NOT_FOUND": 2,
    "REVOKED": 3,
    "ORGANIZATION_SUSPENDED": 4,
    "OWNER_GONE": 5,
    "LOCKED": 6,
    "DISABLED": 7,
    "NOT_YET_VALID": 8,
    "EXPIRED": 9,
    "SECRET_RETIRED": 10,
    "FORBIDDEN_ADDRESS": 11,
    "INSUFFICIENT_SCOPES": 12,
    "LIMIT_EXCEEDED": 13,
    "RATE_LIMITED": 14,
}
DOORS = {"api": 1, "verify": 2, "auth": 3, "exchange": 4}

# Flags. Its cost is in the totals and hours already; of a use that is counted, only the
# scopes that let it through; a use with the scopes that let it through, not those asked for.
IS_CHARGED, IS_GRANT, HAS_GRANT = 1, 2, 4

MAX_TEXT_LENGTH = 200

# The head: what the file is, and how many records it holds.
MAGIC = b"khjrnl\x00\x01"
HEAD = 64
COUNT = struct.Struct("<Q")
# A group (secret, key, cost, byok cost, minute, text, outcome, door, flags), which is the same
# for uses that are counted together, then what is of one use (microsecond, address, request).
RECORD = struct.Struct("<qqqqIIBBH4xq16s16s")
GROUP = struct.Struct("<qqqqIIBBH")
DETAIL = struct.Struct("<q16s16s")
SPLIT = struct.Struct(f"<{GROUP.size}s4x{DETAIL.size}s")
TEXT_LENGTH = struct.Struct("<I")

MINUTE = 60_000_000
SUFFIX, UNFINISHED = ".journal", ".new"

# Wherever one begins, with the rest of that word: there may be another in it.
_SECRET = re.compile(
    "|".join(
        rf"{re.escape(each.prefix)}[0-9A-Za-z]{{{each.length - len(each.prefix)}}}[\w-]*"
        for each in secrets.FORMATS.values()
    )
)


@dataclass(frozen=True, slots=True)
class Wording:
    """A text as it is read: presentable, and without anything that looks like a key."""

    user_agent: str = ""
    scopes: tuple[str, ...] = ()
    method: str = ""
    path: str = ""


def wording(user_agent: str, scopes: frozenset[str], method: str, path: str) -> Wording:
    """Return what a use says about itself as it can be stored and shown."""
    return Wording(
        presentable(user_agent, MAX_TEXT_LENGTH),
        tuple(sorted(filter(roles.is_scope_code, scopes))),
        presentable(method, 10),
        presentable(path, MAX_TEXT_LENGTH),
    )


def presentable(text: str, length: int) -> str:
    """Return what was sent as text that can be stored and shown: without secrets, cut."""
    # A header may hold what no database stores.
    storable = text.replace("\x00", "").encode("utf-8", "replace").decode()
    return _SECRET.sub("…", storable)[:length]


def pack_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bytes:
    """Return an address in 16 bytes; None is none at all."""
    if address is None:
        return bytes(16)
    return address.packed if address.version == 6 else b"\0" * 10 + b"\xff\xff" + address.packed


@lru_cache(maxsize=4096)
def unpack_address(packed: bytes) -> str | None:
    """Return the address that pack_address() packed."""
    if not any(packed):
        return None
    address = ipaddress.IPv6Address(packed)
    return str(address.ipv4_mapped or address)


def pack_request(request_id: str) -> bytes:
    """Return the id of a request, 32 hexadecimal digits, in 16 bytes; zeros for any other."""
    try:
        packed = bytes.fromhex(request_id)
    except ValueError:
        packed = b""
    return packed if len(packed) == 16 else bytes(16)


def encode(words: Wording) -> bytes:
    """Return a text as it is written."""
    parts = [words.user_agent, words.scopes, words.method, words.path]
    return json.dumps(parts, separators=(",", ":")).encode()


def decode(encoded: bytes) -> Wording:
    """Return the text that was written so. Raises ValueError when none was."""
    try:
        user_agent, scopes, method, path = json.loads(encoded)
        return Wording(user_agent, tuple(scopes), method, path)
    except TypeError as error:
        raise ValueError("That is no text of a journal.") from error
