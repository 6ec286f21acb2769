"""Who calls: the one authenticator of every dialect, however the key is presented."""

from django.utils.translation import gettext_lazy as _
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from keys import services
from keys.models import APIKey

# Asked in this order; the first that is there counts.
_KEY_HEADERS = ("X-API-Key", "PRIVATE-TOKEN")


class KeyAuthentication(BaseAuthentication):
    """Authenticates an API key from `X-API-Key`, `PRIVATE-TOKEN` or `Authorization: Bearer`."""

    def authenticate(self, request: Request) -> tuple[APIKey, services.Verdict] | None:
        secret = presented_secret(request)
        if secret is None:
            return None
        verdict = services.authenticate_key(
            secret=secret,
            address=request.client_address,
            user_agent=user_agent(request),
        )
        if not verdict.is_valid or verdict.key is None:
            # Which check refused is for the key's owners to see, not for whoever tries it.
            raise AuthenticationFailed(_("This API key is not valid."))
        return verdict.key, verdict

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="keyhaven"'


def presented_secret(request: Request) -> str | None:
    """Return the secret that a request presents, or None when it presents none."""
    for header in _KEY_HEADERS:
        if secret := request.headers.get(header, "").strip():
            return secret
    scheme, _space, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() or None if scheme.lower() == "bearer" else None


def user_agent(request: Request) -> str:
    """Return what the client calls itself, without characters that cannot be stored."""
    return "".join(filter(str.isprintable, request.headers.get("User-Agent", "")))
