"""What the provider says of itself and of who signed in, believed once it is proved."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.internal import jwtkit
from allauth.socialaccount.models import SocialToken
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.crypto import constant_time_compare

_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


def nonce_for(code_verifier: str) -> str:
    """Return the nonce of the sign-in with this PKCE verifier, which it does not give away.

    So the session that began a sign-in needs to remember one thing only.
    """
    return hashlib.sha256(f"nonce {code_verifier}".encode()).hexdigest()


class AnswerError(OAuth2Error):
    """The provider's answer is not one to believe."""


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
            if not all(isinstance(published[name], str) for name in _ENDPOINTS):
                raise AnswerError("The provider does not say where it is asked.")
        return published

    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        """Return where the provider sends people back to."""
        return request.build_absolute_uri(reverse("single_sign_on_callback"))

    def get_access_token_data(
        self, request: HttpRequest, app: Any, client: Any, pkce_code_verifier: str | None = None
    ) -> dict[str, Any]:
        """Exchange the code for tokens."""
        self._nonce = nonce_for(pkce_code_verifier or "")
        with _understood():
            return super().get_access_token_data(request, app, client, pkce_code_verifier)

    def parse_token(self, data: dict[str, Any]) -> SocialToken:
        """Return the access token, which is used once and never stored."""
        return SocialToken(token=data["access_token"])

    def complete_login(
        self, request: HttpRequest, app: Any, token: SocialToken, **kwargs: Any
    ) -> Any:
        """Return who signs in, by the claims of a signed token that was made for this sign-in."""
        with _understood():
            claims = jwtkit.verify_and_decode(
                credential=kwargs["response"]["id_token"],
                keys_url=self.openid_config["jwks_uri"],
                issuer=settings.OIDC_ISSUER,
                audience=app.client_id,
                lookup_kid=jwtkit.lookup_kid_jwk,
            )
            if not {"exp", "iat", "sub"} <= claims.keys():
                raise AnswerError("The token does not say whom it is of, or until when.")
            if not constant_time_compare(claims["nonce"], self._nonce):
                raise AnswerError("The token was made for another sign-in.")
            if claims.get("azp", app.client_id) != app.client_id:
                raise AnswerError("The token was made for another application.")
            if "email" not in claims:
                claims |= self._address(token.token, claims["sub"])
            return self.get_provider().sociallogin_from_response(request, claims)

    def _address(self, access_token: str, subject: str) -> dict[str, Any]:
        """Return the address that the provider has of this person, and whether it is confirmed."""
        with get_adapter().get_requests_session() as session:
            response = session.get(
                self.openid_config["userinfo_endpoint"],
                headers={"Authorization": f"Bearer {access_token}"},
            )
            response.raise_for_status()
            about = response.json()
        if about["sub"] != subject:
            raise AnswerError("The provider tells about somebody else.")
        return {name: about.get(name) for name in ("email", "email_verified")}


@contextmanager
def _understood() -> Iterator[None]:
    """Take an answer that is not of the form agreed on for a wrong one."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnswerError(
            f"An answer of the provider is malformed: {type(error).__name__}."
        ) from None
