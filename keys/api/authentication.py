"""Who calls: the one authenticator of every dialect, however the key is presented."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from keys import services
from keys.api.throttling import RateLimited
from keys.models import APIKey
from keys.verification import Code

# Asked in this order; the first that is there counts.
_KEY_HEADERS = ("HTTP_X_API_KEY", "HTTP_PRIVATE_TOKEN")
# The others are how clients of Knox, NetBox and djangorestframework-api-key present theirs,
# which go on working once they are imported.
_SCHEMES = frozenset({"bearer", "token", "api-key"})


class KeyAuthentication(BaseAuthentication):
    """Authenticates an API key from `X-API-Key`, `PRIVATE-TOKEN` or `Authorization: Bearer`."""

    def authenticate(self, request: Request) -> tuple[APIKey, services.Verdict] | None:
        # Asked of Django's own request: REST framework's looks everything up twice.
        http = request._request
        secret = secret_among(http.META)
        if secret is None:
            return None
        verdict = services.authenticate_key(
            secret=secret,
            address=http.client_address,
            user_agent=printable(http.META.get("HTTP_USER_AGENT", "")),
        )
        if verdict.code is Code.RATE_LIMITED:
            raise RateLimited(verdict.rates)
        if not verdict.is_valid or verdict.key is None:
            # Which check refused is for the key's owners to see, not for whoever tries it.
            raise AuthenticationFailed(_("This API key is not valid."))
        return verdict.key, verdict

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="keyhaven"'


def presented_secret(request: Request) -> str | None:
    """Return the secret that a request presents, or None when it presents none."""
    return secret_among(request.META)


def secret_among(meta: Mapping[str, Any]) -> str | None:
    """Return the secret that is presented in a WSGI environment, or None."""
    for header in _KEY_HEADERS:
        if secret := meta.get(header, "").strip():
            return secret
    scheme, _space, secret = meta.get("HTTP_AUTHORIZATION", "").partition(" ")
    return secret.strip() or None if scheme.lower() in _SCHEMES else None


def user_agent(request: Request) -> str:
    """Return what the client calls itself, without characters that cannot be stored."""
    return printable(request.headers.get("User-Agent", ""))


def printable(text: str) -> str:
    """Return a header's text without characters that cannot be stored."""
    return text if text.isprintable() else "".join(filter(str.isprintable, text))
