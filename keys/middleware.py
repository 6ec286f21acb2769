"""Notes where a request comes from, for the audit trail and for whoever debugs it."""

import uuid
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from keys import networks
from keys.models import AuditEvent
from keys.services.audit import Origin, acting_from

# The first part of the path -> the door behind it; the rest are pages.
_DOORS = {"admin": AuditEvent.Door.ADMIN}


class OriginMiddleware:
    """Gives each request an id and an address, and says through which door it comes."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not networks.is_from_proxy(request.META, settings.TRUSTED_PROXIES):
            # Django would believe this of anybody: SECURE_PROXY_SSL_HEADER.
            request.META.pop("HTTP_X_FORWARDED_PROTO", None)
        address = networks.client_address(request.META, settings.TRUSTED_PROXIES)
        request.client_address = address  # type: ignore[attr-defined]
        # Always our own: an id that clients choose could pose as another request's.
        request.id = uuid.uuid4().hex  # type: ignore[attr-defined]
        # A path without a slash is possible: `OPTIONS *`.
        first_part = request.path_info.removeprefix("/").partition("/")[0]
        door = _DOORS.get(first_part, AuditEvent.Door.PAGE)
        origin = Origin(door, str(address) if address else None, request.id)
        with acting_from(origin):
            response = self.get_response(request)
        response["X-Request-Id"] = request.id
        return response
