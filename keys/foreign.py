"""Secrets that other systems made: under which digests those kept them, and how they look. Pure.

Where only such a digest is known, it is stored as ours are, under a keyed digest (`wrap`):
the database alone verifies nothing, whatever the other system's digest is worth. At its first
use the secret becomes known, and from then on it is found as one of ours is.
"""

import base64
import binascii
import hashlib
import hmac
import re
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from keys.secrets import BASE62, FORMATS, HEXADECIMAL, MAX_SECRET_LENGTH

# Stands where the number of a pepper does while a secret is known by a wrapped digest alone.
WRAPPED = 0

# So begin secrets that only this software makes; the other formats are their vendors' too.
NEVER_FOREIGN = FORMATS["native"].prefix

# Shorter ones are too easily guessed: none is taken over.
MIN_SECRET_LENGTH = 16

# No secret that somebody presents holds this byte: what is wrapped can be presented by nobody.
_MARK = b"\xff"


class Scheme(StrEnum):
    """How another system makes its digests."""

    PLAIN = "plain"  # not at all: the secret itself was given
    SHA256 = "sha256"
    SHA512 = "sha512"
    NETBOX = "netbox"  # HMAC-SHA256 of what follows the public part, with a numbered pepper


class DigestError(ValueError):
    """Says what is wrong with a digest that somebody gave; never what it is."""


# What the rest of a secret, after its prefix, may consist of, the narrowest first.
ALPHABETS = {
    "hex": HEXADECIMAL,
    "base62": BASE62,
    "dotted": BASE62 + ".",
    "urlsafe": BASE62 + "-_",
    "visible": string.ascii_letters + string.digits + string.punctuation,
}
# `sk-or-v1-` or `live_`: short words in lower case, each with what divides it from the next.
_PREFIX = re.compile(r"(?:[a-z][a-z0-9]{0,9}[_-]){1,4}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+\Z")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}\Z")
_NETBOX_PREFIX = "nbt_"


@dataclass(frozen=True)
class Shape:
    """How the secrets of one import look: what does not look so is asked of no database."""

    scheme: Scheme
    prefix: str
    alphabet: str
    shortest: int
    longest: int

    def matches(self, text: str) -> bool:
        """Say whether `text` could be such a secret."""
        return (
            self.shortest <= len(text) <= self.longest
            and text.startswith(self.prefix)
            # Nothing is left when every character is one of the alphabet.
            and not text.removeprefix(self.prefix).strip(ALPHABETS[self.alphabet])
        )

    def widened(self, other: "Shape") -> "Shape":
        """Return the shape with the lengths of both."""
        if self.shortest <= other.shortest and other.longest <= self.longest:
            return self
        shortest, longest = min(self.shortest, other.shortest), max(self.longest, other.longest)
        return replace(self, shortest=shortest, longest=longest)


def shape_of(secret: str) -> Shape:
    """Return how a secret looks that was given as such."""
    prefix = prefix_of(secret)
    rest = secret.removeprefix(prefix)
    alphabet = next((name for name, all_of in ALPHABETS.items() if not rest.strip(all_of)), "")
    if not alphabet:
        raise DigestError("A secret consists of visible ASCII characters without spaces.")
    return Shape(Scheme.PLAIN, prefix, alphabet, len(secret), len(secret))


def prefix_of(beginning: str) -> str:
    """Return the words with which a secret that begins so says what it is, or nothing."""
    match = _PREFIX.match(beginning)
    return match[0] if match and match.end() < len(beginning) else ""


def is_presentable(secret: str) -> bool:
    """Say whether the text can be presented as a secret at all."""
    return 0 < len(secret) <= MAX_SECRET_LENGTH and not secret.strip(ALPHABETS["visible"])


def is_importable(secret: str) -> bool:
    """Say whether some import could have brought this secret, into any installation."""
    return (
        len(secret) >= MIN_SECRET_LENGTH
        and is_presentable(secret)
        and not secret.startswith(NEVER_FOREIGN)
    )


def known_digests(secret: str, scheme: Scheme, peppers: Mapping[int, bytes]) -> Iterator[bytes]:
    """Yield what a system of this scheme may have kept of a secret.

    `peppers` are the other system's, by its numbers.
    """
    match scheme:
        case Scheme.SHA256:
            yield hashlib.sha256(secret.encode()).digest()
        case Scheme.SHA512:
            yield hashlib.sha512(secret.encode()).digest()
        case Scheme.NETBOX:
            name, _dot, token = secret.removeprefix(_NETBOX_PREFIX).partition(".")
            for number, pepper in peppers.items():
                yield _named(number, name, hmac.digest(pepper, token.encode(), "sha256"))


def wrap(digest: bytes, scheme: Scheme, pepper: bytes) -> str:
    """Return what is stored for another system's digest: 64 hexadecimal digits.

    It differs from our own digest of any text, so that knowing what another system kept is of
    no use: only the secret behind it is.
    """
    message = _MARK + scheme.encode() + _MARK + digest
    return hmac.digest(pepper, message, "sha256").hex()


def wrapped_digests(
    secret: str,
    schemes: Iterable[Scheme],
    peppers: Mapping[int, bytes],
    foreign_peppers: Mapping[int, bytes],
) -> list[str]:
    """Return the texts under which a secret may be stored that another system made."""
    return [
        wrap(digest, scheme, pepper)
        for scheme in schemes
        for digest in known_digests(secret, scheme, foreign_peppers)
        for pepper in peppers.values()
    ]


def parse_sha512(text: str) -> bytes:
    """Return the digest that djangorestframework-api-key or Knox keeps. Raises DigestError."""
    algorithm, _dollars, digest = text.rpartition("$$")
    if algorithm not in ("", "sha512") or "$" in digest:
        raise DigestError("slow")
    return _bytes_of(digest, 64)


def parse_sha256(text: str) -> bytes:
    """Return the digest that Unkey or Better Auth keeps: in hexadecimal digits or Base64.

    Raises DigestError.
    """
    return _bytes_of(text, 32)


def parse_netbox(name: str, text: str, number: int) -> bytes:
    """Return what identifies a token of NetBox: its public part, its HMAC and its pepper.

    Raises DigestError.
    """
    if not name or name.strip(BASE62):
        raise DigestError("name")
    return _named(number, name, _bytes_of(text, 32))


def _named(number: int, name: str, digest: bytes) -> bytes:
    return f"{number}:{name}:".encode() + digest


def _bytes_of(text: str, length: int) -> bytes:
    if len(text) == 2 * length and _HEX.match(text):
        return bytes.fromhex(text)
    try:
        if not _BASE64.match(text):
            raise DigestError("form")
        plain = text.rstrip("=").translate(str.maketrans("-_", "+/"))
        found = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        raise DigestError("form") from None
    if len(found) != length:
        raise DigestError("form")
    return found
