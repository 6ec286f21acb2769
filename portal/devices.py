"""Browsers in which somebody signed in before, by a signed cookie.

Limits of failed sign-ins hold for others first: whoever guesses at an account cannot keep its
person out of it, who comes from a browser that the account knows.
"""

import secrets

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare, salted_hmac

COOKIE = "device"
_SALT = "portal.devices"
# So long after the last sign-in, and so many accounts of one browser.
_SECONDS, _ACCOUNTS = 180 * 86400, 5


def known_device(request: HttpRequest, email: str) -> str:
    """Return the name of this browser if the account of that address signed in there; or ""."""
    name, marks = _read(request)
    mark = _mark(email)
    return name if any(constant_time_compare(mark, each) for each in marks) else ""


class KnownDeviceMiddleware:
    """Lets a browser remember that somebody signed in: whose address is `request.signed_in_as`."""

    def __init__(self, get_response) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        email = getattr(request, "signed_in_as", "")
        if email:
            _remember(request, response, email)
        return response


def _remember(request: HttpRequest, response: HttpResponse, email: str) -> None:
    name, marks = _read(request)
    mark = _mark(email)
    others = [each for each in marks if each != mark][: _ACCOUNTS - 1]
    response.set_cookie(
        COOKIE,
        signing.dumps([name or secrets.token_urlsafe(16), [mark, *others]], salt=_SALT),
        max_age=_SECONDS,
        path="/accounts/",
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _read(request: HttpRequest) -> tuple[str, list[str]]:
    try:
        name, marks = signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=_SECONDS)
    except signing.BadSignature:
        return "", []
    return name, marks


def _mark(email: str) -> str:
    # Not the address itself: somebody else may look into the browser.
    return salted_hmac(_SALT, email.lower(), algorithm="sha256").hexdigest()[:32]
