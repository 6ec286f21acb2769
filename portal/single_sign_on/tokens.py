"""What the provider says of itself and of who signed in, believed once it is proved."""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jwt
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.internal import jwtkit
from allauth.socialaccount.models import SocialToken
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.crypto import constant_time_compare

from portal.single_sign_on.asking import AnswerError, is_askable

_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
# What says in a token that it is one by which the provider ends sessions.
_LOGOUT = "http://schemas.openid.net/event/backchannel-logout"
# How long a subject is at most, as OpenID Connect says.
_LONGEST_SUBJECT = 255
# By so much the provider's clock may be ahead, or behind.
SECONDS_OFF = 60

# What reading an answer of any other form raises: too deep or too large ones, too.
_MALFORMED = (
    *(LookupError, TypeError, ValueError, AttributeError),
    *(ArithmeticError, RecursionError, NotImplementedError, jwt.PyJWTError),
)
# What is checked of a token before the provider is asked for what it signs with.
_UNPROVED: Any = {
    "verify_signature": False,
    **{f"verify_{name}": True for name in ("iss", "aud", "exp", "iat", "sub", "jti")},
}


def nonce_for(code_verifier: str) -> str:
    """Return the nonce of the sign-in with this PKCE verifier, which it does not give away.

    So the session that began a sign-in needs to remember one thing only.
    """
    return hashlib.sha256(f"nonce {code_verifier}".encode()).hexdigest()


def known_as(said: Any) -> str:
    """Return by what the portal knows a person or session that the provider calls so; "": none.

    A name of its means something together with its issuer only.
    """
    if not isinstance(said, str) or not said:
        return ""
    return hashlib.sha256(json.dumps([settings.OIDC_ISSUER, said]).encode()).hexdigest()


class ProviderClient(OpenIDConnectOAuth2Adapter):
    """Asks the provider, and believes no answer that is not whole, signed, and for us.

    Its methods raise OAuth2Error (AnswerError is one) where an answer is wrong, and
    requests.RequestException where there is none.
    """

    @property
    def openid_config(self) -> dict[str, Any]:
        """What the provider publishes about itself, which has to be the one that is trusted."""
        with _understood():
            published = super().openid_config
            if published["issuer"] != settings.OIDC_ISSUER:
                raise AnswerError("The provider says that it is another one.")
            if not all(is_askable(published[name]) for name in _ENDPOINTS):
                raise AnswerError("The provider does not say where it is asked.")
        return published

    @property
    def basic_auth(self) -> bool:
        """Whether the portal proves itself in a header, as the provider says that it wants it."""
        with _understood():
            return super().basic_auth

    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        """Return where the provider sends people back to."""
        return request.build_absolute_uri(reverse("single_sign_on_callback"))

    def get_access_token_data(
        self, request: HttpRequest, app: Any, client: Any, pkce_code_verifier: str | None = None
    ) -> dict[str, Any]:
        """Exchange the code for tokens."""
        self._nonce = nonce_for(pkce_code_verifier or "")
        with _understood():
            tokens = super().get_access_token_data(request, app, client, pkce_code_verifier)
            if not isinstance(tokens, dict):
                raise AnswerError("The provider answers with no tokens.")
        return tokens

    def parse_token(self, data: dict[str, Any]) -> SocialToken:
        """Return the access token, which is used once and never stored."""
        return SocialToken(token=data["access_token"])

    def complete_login(
        self, request: HttpRequest, app: Any, token: SocialToken, **kwargs: Any
    ) -> Any:
        """Return who signs in, by the claims of a signed token that was made for this sign-in."""
        with _understood():
            claims = self._verified(kwargs["response"]["id_token"], app.client_id)
            self._refuse_others(claims, app.client_id)
            if "email" not in claims:
                claims |= self._address(token.token, claims["sub"])
            claims["auth_time"] = _moment(claims.get("auth_time"))
            request.session_at_provider = known_as(claims.get("sid"))  # type: ignore[attr-defined]
            return self.get_provider().sociallogin_from_response(request, claims)

    def read_logout(self, token: str) -> dict[str, Any]:
        """Return the claims of a token by which the provider ends sessions.

        One that comes again is as good as it was: what came of it the first time may have failed.
        """
        with _understood():
            # Anybody may post here, and is not to make us ask the provider by nonsense.
            if "kid" not in jwt.get_unverified_header(token):
                raise AnswerError("The token does not say by which key it was signed.")
            _refuse_other_than_logout(
                _decoded(token, audience=settings.OIDC_CLIENT_ID, options=_UNPROVED)
            )
            return self._signed(token, settings.OIDC_CLIENT_ID)

    def _verified(self, token: str, client_id: str) -> dict[str, Any]:
        """Return what a token says that the provider signed for this portal, not long ago."""
        claims = self._signed(token, client_id)
        # As long as it is believed it is remembered.
        jwtkit.verify_jti(claims | {"exp": claims.get("exp", 0) + SECONDS_OFF})
        return claims

    def _signed(self, token: str, client_id: str) -> dict[str, Any]:
        keys = self.openid_config["jwks_uri"]
        algorithm, key = jwtkit.fetch_key(token, keys, jwtkit.lookup_kid_jwk)
        return _decoded(token, audience=client_id, key=key, algorithms=[algorithm])

    def _refuse_others(self, claims: dict[str, Any], client_id: str) -> None:
        """Raise AnswerError for claims that say too little, or were made for something else."""
        if not {"exp", "iat", "sub"} <= claims.keys() or not _is_subject(claims["sub"]):
            raise AnswerError("The token does not say whom it is of, or until when.")
        if not constant_time_compare(claims["nonce"], self._nonce):
            raise AnswerError("The token was made for another sign-in.")
        if claims.get("azp", client_id) != client_id:
            raise AnswerError("The token was made for another application.")

    def _address(self, access_token: str, subject: str) -> dict[str, Any]:
        """Return the address that the provider has of this person, and whether it is confirmed."""
        endpoint = self.openid_config["userinfo_endpoint"]
        if not is_askable(endpoint):
            raise AnswerError("The provider does not say where it is asked.")
        with get_adapter().get_requests_session() as session:
            response = session.get(
                endpoint,
                headers={"Authorization": f"Bearer {access_token}"},
            )
            response.raise_for_status()
            about = response.json()
        if about["sub"] != subject:
            raise AnswerError("The provider tells about somebody else.")
        return {name: about.get(name) for name in ("email", "email_verified")}


def _decoded(token: str, **how: Any) -> dict[str, Any]:
    """Return what a token of the provider for an audience says; raise PyJWTError for others.

    The provider's clock may be a little ahead of ours, or behind.
    """
    return jwt.decode(token, issuer=settings.OIDC_ISSUER, leeway=SECONDS_OFF, **how)


def _refuse_other_than_logout(claims: dict[str, Any]) -> None:
    """Raise AnswerError for claims that do not say whose sessions end, or that are for more."""
    if not {"iat", "exp", "jti"} <= claims.keys() or "nonce" in claims:
        raise AnswerError("The token is none to end sessions by.")
    if not isinstance(claims["events"][_LOGOUT], dict) or not _moment(claims["iat"]):
        raise AnswerError("The token does not say that sessions end, or when it was made.")
    named = [claims[name] for name in ("sub", "sid") if name in claims]
    if not named or not all(isinstance(each, str) and each for each in named):
        raise AnswerError("The token does not say whose sessions end.")


@contextmanager
def _understood() -> Iterator[None]:
    """Take an answer that is not of the form agreed on for a wrong one."""
    try:
        yield
    except _MALFORMED as error:
        raise AnswerError(
            f"An answer of the provider is malformed: {type(error).__name__}."
        ) from None


def _is_subject(said: Any) -> bool:
    return (
        isinstance(said, str)
        and 0 < len(said) <= _LONGEST_SUBJECT
        and said.isascii()
        and said.isprintable()
    )


def _moment(said: Any) -> int | float:
    """Return the moment that a claim says, in seconds since 1970; 0 for none or one to come."""
    if isinstance(said, bool) or not isinstance(said, int | float):
        return 0
    return said if 0 <= said <= time.time() + SECONDS_OFF else 0
