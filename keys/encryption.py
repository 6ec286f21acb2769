"""How the few secrets that must be read again are stored, and keys derived for one purpose. Pure.

What somebody presents to the portal is kept as a digest (secrets.py). What the portal
itself needs in clear, to check a signature, is sealed with keys that come from the
installation's peppers: a database dump alone opens nothing.
"""

import base64
from collections.abc import Mapping

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_SEALING = "keyhaven: sealing of stored secrets"


class UnreadableError(ValueError):
    """A sealed text that none of the known peppers opens."""


def derive_key(secret: bytes, purpose: str) -> bytes:
    """Return 32 bytes derived from `secret` for this purpose alone (HKDF with SHA-256)."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(secret)


def seal(text: str, peppers: Mapping[int, bytes]) -> str:
    """Return `text` encrypted and authenticated under the newest pepper."""
    return _newest_first(peppers)[0].encrypt(text.encode()).decode()


def unseal(sealed: str, peppers: Mapping[int, bytes]) -> str:
    """Return what was sealed, under whichever known pepper. Raises UnreadableError."""
    try:
        return MultiFernet(_newest_first(peppers)).decrypt(sealed).decode()
    except (InvalidToken, ValueError):
        raise UnreadableError("No pepper of this installation opens what was sealed.") from None


def is_sealed_by_newest(sealed: str, peppers: Mapping[int, bytes]) -> bool:
    """Say whether the newest pepper sealed it; if not, seal it again to retire the older one."""
    try:
        _newest_first(peppers)[0].decrypt(sealed)
    except (InvalidToken, ValueError):
        return False
    return True


def _newest_first(peppers: Mapping[int, bytes]) -> list[Fernet]:
    return [
        Fernet(base64.urlsafe_b64encode(derive_key(pepper, _SEALING)))
        for _number, pepper in sorted(peppers.items(), reverse=True)
    ]
