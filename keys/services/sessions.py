"""Sessions of the token exchange: tokens that stand for one secret of one key, for a while."""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from keys import encryption, entries, tokens
from keys.entries import Entry
from keys.tokens import Kind

_SIGNING = "keyhaven: session tokens"


@dataclass(frozen=True)
class SessionTokens:
    """What a client gets for its key; lifetimes are in seconds."""

    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    session_id: str


def open_session(entry: Entry, *, now: datetime, session_id: str | None = None) -> SessionTokens:
    """Return tokens that stand for a secret; with a `session_id` they continue that session.

    They never outlive the secret and its key, as far as that is known now.
    """
    session = tokens.Session(
        secret_id=entry.secret_id,
        key_id=entry.key_id,
        organization_id=entry.organization_id,
        nonce=entry.nonce,
        session_id=session_id or tokens.Session.new_id(),
    )
    access_until = _end(entry, now, settings.ACCESS_TOKEN_SECONDS)
    refresh_until = _end(entry, now, settings.REFRESH_TOKEN_SECONDS)
    key = _signing_key()
    return SessionTokens(
        access_token=tokens.sign(
            session, Kind.ACCESS, signing_key=key, now=now, expires_at=access_until
        ),
        expires_in=int((access_until - now).total_seconds()),
        refresh_token=tokens.sign(
            session, Kind.REFRESH, signing_key=key, now=now, expires_at=refresh_until
        ),
        refresh_expires_in=int((refresh_until - now).total_seconds()),
        session_id=session.session_id,
    )


def find_session(token: str, kind: Kind) -> tuple[Entry, str]:
    """Return what is known by the secret that a token stands for, and its session's id.

    Whether that secret is still good is not decided here. Raises tokens.InvalidTokenError.
    """
    session = tokens.read(token, kind, signing_key=_signing_key())
    entry = entries.load_by_id(session.secret_id)
    if entry is None or not hmac.compare_digest(entry.nonce, session.nonce):
        raise tokens.InvalidTokenError("The key of this session is gone.")
    return entry, session.session_id


def _end(entry: Entry, now: datetime, lifetime: int) -> datetime:
    ends = (entry.snapshot.expires_at, entry.secret_ends_at)
    return min([now + timedelta(seconds=lifetime), *(end for end in ends if end is not None)])


def _signing_key() -> bytes:
    return encryption.derive_key(settings.SECRET_KEY.encode(), _SIGNING)
