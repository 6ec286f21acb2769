"""Asking the provider: never for long, for no more than it can have to say, and nobody else."""

import time
from typing import Any

import requests
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from django.conf import settings
from urllib3.exceptions import HTTPError

MAX_ANSWER_BYTES = 262_144
TOTAL_SECONDS = 15.0
_AT_ONCE = 65_536


def is_askable(address: Any) -> bool:
    """Say whether this is an address of the provider that may be asked: with TLS, as it is."""
    is_plain = settings.OIDC_ISSUER.startswith("http://")
    schemes = ("https://", "http://") if is_plain else ("https://",)
    return isinstance(address, str) and address.startswith(schemes)


class AnswerError(OAuth2Error):
    """The provider's answer is not one to believe."""


class Session(requests.Session):
    """Requests that end after TOTAL_SECONDS and MAX_ANSWER_BYTES, and follow no redirect.

    They hold what the portal proves itself with, which is for whom the provider named alone.
    """

    def request(self, method: Any, url: Any, **more: Any) -> requests.Response:  # type: ignore[override]
        """Return the whole answer.

        Raises AnswerError for one that is too long or leads elsewhere, and
        requests.RequestException where there is none.
        """
        until = time.monotonic() + TOTAL_SECONDS
        more |= {"stream": True, "allow_redirects": False}
        more["timeout"] = settings.SOCIALACCOUNT_REQUESTS_TIMEOUT
        response = super().request(method, url, **more)
        with response:
            # Where `requests` itself would keep it.
            response._content = _read(response, until)
        if response.is_redirect:
            raise AnswerError("The provider leads elsewhere.")
        return response


def _read(response: requests.Response, until: float) -> bytes:
    content = b""
    try:
        while part := response.raw.read1(_AT_ONCE, decode_content=True):
            content += part
            if len(content) > MAX_ANSWER_BYTES:
                raise AnswerError("An answer of the provider is too long.")
            if time.monotonic() > until:
                raise requests.ReadTimeout("An answer of the provider takes too long.")
    except HTTPError as error:
        raise requests.ConnectionError(type(error).__name__) from None
    return content
