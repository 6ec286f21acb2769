"""How the secret of an API key is made, recognised and stored. Pure.

A secret is `prefix + random part + checksum`. The random part carries at least
192 bits, so a fast keyed digest (HMAC-SHA256 with a pepper that is not in the
database) protects it at rest: a slow password hash would add nothing against
guessing and would make every request with a wrong key expensive.

The checksum is a CRC-32 of everything before it. It protects nothing; it tells
a typo or a scanner's false find from a key without asking the database.
"""

import base64
import hashlib
import hmac
import re
import secrets as random_source
import string
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
HEXADECIMAL = string.digits + "abcdef"
_IDENTIFIER = string.ascii_lowercase + string.digits

# Longer texts are not looked at: no format comes near it.
MAX_SECRET_LENGTH = 512


@dataclass(frozen=True)
class Format:
    """How the secrets of one dialect look."""

    prefix: str
    alphabet: str
    random_length: int
    checksum_length: int
    # How many characters of the random part the label shows, at its start and its end.
    shown: tuple[int, int] = (3, 3)

    @cached_property
    def length(self) -> int:
        return len(self.prefix) + self.random_length + self.checksum_length

    def generate(self) -> str:
        """Return a new secret of this format."""
        body = self.prefix + "".join(
            random_source.choice(self.alphabet) for _ in range(self.random_length)
        )
        return body + self.checksum(body)

    def checksum(self, body: str) -> str:
        """Return the CRC-32 of `body` in this format's alphabet, zero-padded."""
        return _encode(zlib.crc32(body.encode()), self.alphabet, self.checksum_length)

    def matches(self, text: str) -> bool:
        """Say whether `text` could be a secret of this format: prefix, length and checksum."""
        if not text.startswith(self.prefix) or len(text) != self.length or not text.isascii():
            return False
        end, pairs = self.length - self.checksum_length, _pairs(self.alphabet)
        number, base = zlib.crc32(text[:end].encode()), len(pairs)
        # From the right, where nearly all garbage differs at once: everybody's comes by here.
        for start in range(self.length - 2, end - 1, -2):
            number, remainder = divmod(number, base)
            if text[start : start + 2] != pairs[remainder]:
                return False
        return True

    def label(self, secret: str) -> str:
        """Return the mask under which people recognise a secret: `kh_abc...xyz`."""
        start, end = self.shown
        head = secret[: len(self.prefix) + start]
        return f"{head}...{secret[-end:]}"


# Dialect of birth -> format. OpenRouter's clients expect 64 hexadecimal digits, of
# which the last eight are our checksum (224 random bits); the others carry 41 base62
# characters (244 bits) and six of checksum.
FORMATS: dict[str, Format] = {
    "native": Format("kh_", BASE62, 41, 6),
    "openrouter": Format("sk-or-v1-", HEXADECIMAL, 56, 8),
    "i3d": Format("i3d_", BASE62, 41, 6),
    "netography": Format("neto_", BASE62, 41, 6),
    "xyra": Format("xyp_", BASE62, 41, 6),
}

_PART = re.compile(
    "|".join(
        rf"(?<![0-9A-Za-z]){re.escape(each.prefix)}[0-9A-Za-z]{{{2 * sum(each.shown) + 1},}}"
        for each in FORMATS.values()
    )
)


def generate(dialect: str) -> str:
    """Return a new secret in the format of this dialect."""
    return FORMATS[dialect].generate()


def label(secret: str) -> str:
    """Return the mask of a well-formed secret."""
    secret_format = find_format(secret)
    if secret_format is None:
        raise ValueError("Not a well-formed secret.")
    return secret_format.label(secret)


def find_format(text: str) -> Format | None:
    """Return the format whose prefix, length and checksum `text` has, or None."""
    if len(text) > MAX_SECRET_LENGTH:
        return None
    for each in FORMATS.values():
        # No format's prefix begins another's.
        if text.startswith(each.prefix):
            return each if each.matches(text) else None
    return None


def is_whole(text: str) -> bool:
    """Say whether `text` begins and is as long as a secret of ours, mistyped or not."""
    return holds_part(text) and any(
        text.startswith(each.prefix) and len(text) == each.length for each in FORMATS.values()
    )


def holds_part(text: str) -> bool:
    """Say whether `text` holds, anywhere in it, more of some secret than a label shows."""
    return _PART.search(text) is not None


def digest(secret: str, pepper: bytes) -> str:
    """Return the HMAC-SHA256 under which a secret is stored: 64 hexadecimal digits."""
    inner_start, outer_start = _keyed(pepper)
    inner, outer = inner_start.copy(), outer_start.copy()
    inner.update(secret.encode())
    outer.update(inner.digest())
    return outer.hexdigest()


def digests(secret: str, peppers: Mapping[int, bytes]) -> dict[str, int]:
    """Return {digest: pepper number} of a secret under every known pepper."""
    return {digest(secret, pepper): number for number, pepper in peppers.items()}


@lru_cache(maxsize=16)
def _keyed(pepper: bytes) -> "tuple[hashlib._Hash, hashlib._Hash]":
    """Return the two hashes of an HMAC (RFC 2104) after they took in the key.

    That costs as much as all the rest, and every unknown key comes by here.
    """
    block = hashlib.sha256().block_size
    if len(pepper) > block:
        pepper = hashlib.sha256(pepper).digest()
    key = pepper.ljust(block, b"\0")
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in key)) for pad in (0x36, 0x5C))
    return inner, outer


def current_pepper(peppers: Mapping[int, bytes]) -> tuple[int, bytes]:
    """Return the number and value of the pepper for new digests: the highest number."""
    return max(peppers.items())


def fingerprint(pepper: bytes) -> str:
    """Return what tells a pepper from others, wherever it has which number, and not what it is."""
    return hmac.new(pepper, b"\xfffingerprint", hashlib.sha256).hexdigest()[:16]


def generate_public_hash() -> str:
    """Return a new public identifier of 64 hexadecimal digits, independent of any secret."""
    return random_source.token_hex(32)


def generate_identifier() -> str:
    """Return a new opaque identifier of 24 lower-case characters that starts with a letter."""
    # One draw: to ask the system for each character is slow where very many keys are made.
    tails = len(_IDENTIFIER) ** 23
    letter, tail = divmod(random_source.randbelow(len(string.ascii_lowercase) * tails), tails)
    return string.ascii_lowercase[letter] + _encode(tail, _IDENTIFIER, 24)[1:]


def generate_nonce() -> str:
    """Return a new random text of 32 hexadecimal digits."""
    return random_source.token_hex(16)


def generate_shared_secret() -> str:
    """Return a new secret for signatures: 64 characters, more than HMAC-SHA256 asks for."""
    return random_source.token_hex(32)


def generate_link_token() -> str:
    """Return a new secret for the address of a link: 43 characters that need no escaping."""
    return random_source.token_urlsafe(32)


def digest_link_token(token: str) -> str:
    """Return what a link's token is found by: 64 hexadecimal digits.

    Without a pepper: such a token carries 256 random bits and lives for days.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def generate_webhook_secret() -> str:
    """Return a new secret for signatures of webhooks, as Standard Webhooks writes them."""
    return "whsec_" + base64.b64encode(random_source.token_bytes(32)).decode()


def generate_message_id() -> str:
    """Return a new identifier of a message to receivers, by which they know a repetition."""
    return f"msg_{random_source.token_hex(14)}"


def _encode(number: int, alphabet: str, length: int) -> str:
    """Write a number in so many digits of this alphabet, an even number of them."""
    pairs = _pairs(alphabet)
    base, written = len(pairs), ""
    # Two at a time, as they are compared.
    for _ in range(length // 2):
        number, remainder = divmod(number, base)
        written = pairs[remainder] + written
    return written


@lru_cache(maxsize=4)
def _pairs(alphabet: str) -> list[str]:
    return [first + second for first in alphabet for second in alphabet]
