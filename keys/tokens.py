"""The JSON Web Tokens of the token exchange: those clients send, those the portal signs. Pure.

A client proves itself with a *request token*, signed with its organization's shared
secret. For it the portal hands out a *session*: an access token to call with and a
refresh token to get the next pair. Both name the secret that they stand for and say
nothing about rights, which are looked up at each use.
"""

import re
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import jwt

# Nothing else is accepted, whatever a token's header says.
ALGORITHM = "HS256"
MAX_TOKEN_LENGTH = 4096

# Request tokens have no expiry, so their age is bounded; clocks differ a little.
MAX_REQUEST_AGE = timedelta(seconds=300)
CLOCK_LEEWAY = timedelta(seconds=60)

_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


class InvalidTokenError(ValueError):
    """A token that is malformed, forged, too old, from the future or for something else."""


class Kind(StrEnum):
    """What a token of a session is good for; one is never taken for the other."""

    ACCESS = "access"
    REFRESH = "refresh"


@dataclass(frozen=True)
class RequestToken:
    """Who a client says that it is: its organization, the name of its key, and that key."""

    shortname: str
    appname: str
    appkey: str


@dataclass(frozen=True)
class Session:
    """What a token of the portal stands for: one secret of one key.

    `nonce` is stored with the secret: whoever knows only what tokens are signed with
    can make none that is accepted.
    """

    secret_id: int
    key_id: int
    organization_id: int
    nonce: str
    session_id: str

    @staticmethod
    def new_id() -> str:
        """Return an id for a new session."""
        return str(uuid.uuid4())


def is_token(text: str) -> bool:
    """Say whether a credential has the form of a token; no API key has it."""
    return len(text) <= MAX_TOKEN_LENGTH and _TOKEN.fullmatch(text) is not None


def read_shortname(token: str) -> str:
    """Return the organization that a request token names, before its signature is checked.

    Raises InvalidTokenError.
    """
    claims = _decode(token, options={"verify_signature": False})
    return _text(claims, "shortname")


def read_request_token(token: str, *, shared_secret: str, now: datetime) -> RequestToken:
    """Return what a request token says, having checked its signature and age.

    `jti` may be a number, text or absent: vendors' clients send all three. Raises
    InvalidTokenError.
    """
    claims = _decode(
        token,
        shared_secret,
        leeway=CLOCK_LEEWAY,
        # The age is checked below, against the same `now` as the key.
        options={
            "verify_jti": False,
            "verify_sub": False,
            "verify_aud": False,
            "verify_iat": False,
        },
    )
    _refuse_age(claims.get("iat"), now)
    return RequestToken(
        shortname=_text(claims, "shortname"),
        appname=_text(claims, "appname"),
        appkey=_text(claims, "appkey"),
    )


def sign(
    session: Session, kind: Kind, *, signing_key: bytes, now: datetime, expires_at: datetime
) -> str:
    """Return a token of this kind for a session."""
    claims = {
        "typ": kind.value,
        "sub": str(session.key_id),
        "secret": session.secret_id,
        "org": session.organization_id,
        "nonce": session.nonce,
        "sid": session.session_id,
        "jti": str(uuid.uuid4()),
        "iat": int(now.timestamp()),
        "exp": int(expires_at.timestamp()),
    }
    return jwt.encode(claims, signing_key, algorithm=ALGORITHM)


def read(token: str, kind: Kind, *, signing_key: bytes) -> Session:
    """Return the session that a token of this kind stands for. Raises InvalidTokenError."""
    claims = _decode(token, signing_key, options={"require": ["exp", "iat", "jti", "sub"]})
    if claims.get("typ") != kind.value:
        raise InvalidTokenError("The token is for something else.")
    return Session(
        secret_id=claims["secret"],
        key_id=int(claims["sub"]),
        organization_id=claims["org"],
        nonce=claims["nonce"],
        session_id=claims["sid"],
    )


def _decode(token: str, key: str | bytes = "", **options: Any) -> dict[str, Any]:
    if not is_token(token):
        raise InvalidTokenError("This is not a token.")
    try:
        return jwt.decode(token, key, algorithms=[ALGORITHM], **options)
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
        # The library lets pass what claims of a wrong type, or too deep ones, raise.
        raise InvalidTokenError(str(error)) from None


def _refuse_age(issued_at: Any, now: datetime) -> None:
    if not isinstance(issued_at, int | float):
        raise InvalidTokenError("The token does not say when it was issued.")
    oldest, newest = now - MAX_REQUEST_AGE, now + CLOCK_LEEWAY
    # Compared, not subtracted: neither NaN nor a number of any size gets through or fails.
    if not oldest.timestamp() <= issued_at <= newest.timestamp():
        raise InvalidTokenError("The token is too old, or from the future.")


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidTokenError(f"The token names no {name}.")
    return value
