"""Where a request comes from, how its text is written, in which language its answer is."""

import codecs
import logging
import time
import uuid
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.middleware.gzip import GZipMiddleware
from django.utils import translation
from django.utils.cache import add_never_cache_headers, patch_vary_headers
from structlog.contextvars import bound_contextvars

from keys import metrics, networks
from keys.models import AuditEvent
from keys.services.audit import Origin, acting_from

# First parts of the paths that people look at. The rest is for programs, which match words.
_FOR_PEOPLE = frozenset(
    {"", "accounts", "admin", "docs", "found", "language", "organizations", "status"}
)

# Asked for each request of somebody else's service: not told one by one.
_FREQUENT = frozenset({"/v1/auth", "/v1/verify"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

logger = logging.getLogger("keys.requests")

_FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})


class OriginMiddleware:
    """Gives each request an id and an address, and says through which door it comes."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        address, is_proxied = networks.source(request.META, settings.TRUSTED_PROXIES)
        if not is_proxied:
            # Django would believe this of anybody: SECURE_PROXY_SSL_HEADER.
            request.META.pop("HTTP_X_FORWARDED_PROTO", None)
        request.client_address = address  # type: ignore[attr-defined]
        # Always our own: an id that clients choose could pose as another request's.
        request.id = uuid.uuid4().hex  # type: ignore[attr-defined]
        origin = Origin(_door(request), str(address) if address else None, request.id)
        started = time.perf_counter()
        with acting_from(origin), bound_contextvars(request_id=request.id):
            response = self.get_response(request)
            _note(request, response, origin, time.perf_counter() - started)
        response["X-Request-Id"] = request.id
        return response


class EncodingMiddleware:
    """Reads all text as UTF-8, and refuses a form that says that it is written otherwise.

    Django would decode with whatever codec the content type names: some are none for text,
    some yield half characters, which no page shows and no database stores.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        named = request.encoding
        if named is not None and codecs.lookup(named).name != "utf-8":
            if request.content_type in _FORMS:
                raise BadRequest("Forms are written in UTF-8.")
            request.encoding = "utf-8"
        return self.get_response(request)


class LanguageMiddleware:
    """Answers people in the language that they chose, or their browser asks for.

    Programs are always answered in English: a vendor's client compares what errors say.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        is_for_people = _first_part(request) in _FOR_PEOPLE
        language = (
            translation.get_language_from_request(request)
            if is_for_people
            else settings.LANGUAGE_CODE
        )
        # For all that this thread does until the next request, an answer that is streamed
        # after this returned included.
        translation.activate(language)
        request.LANGUAGE_CODE = language  # type: ignore[attr-defined]
        response = self.get_response(request)
        if is_for_people:
            response.headers.setdefault("Content-Language", language)
            patch_vary_headers(response, ["Accept-Language", "Cookie"])
        return response


class AccountPagesMiddleware:
    """Keeps the account pages out of every cache: some show what a second factor is made of."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if _first_part(request) == "accounts":
            add_never_cache_headers(response)
        return response


class CompressionMiddleware(GZipMiddleware):
    """Compresses what people look at, but nothing that shows a secret.

    How well a secret compresses beside what somebody else chose would tell of it (BREACH).
    Pages that show one are never stored, and so are known.
    """

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        may_show_a_secret = "no-store" in response.get("Cache-Control", "")
        if may_show_a_secret or _first_part(request) not in _FOR_PEOPLE:
            return response
        return super().process_response(request, response)


def _note(request: HttpRequest, response: HttpResponse, origin: Origin, seconds: float) -> None:
    """Measure a request, and log it by its route: paths and queries hold what somebody typed."""
    route = request.resolver_match.route if request.resolver_match else "none"
    method = request.method if request.method in _METHODS else "OTHER"
    metrics.note_request(method, route, response.status_code, seconds)
    is_frequent = request.path_info in _FREQUENT or request.path_info.startswith("/static/")
    logger.log(
        logging.DEBUG if is_frequent else logging.INFO,
        "%s %s",
        method,
        route,
        extra={
            "details": {
                "method": method,
                "route": route,
                "status": response.status_code,
                "seconds": round(seconds, 4),
                "door": str(origin.door),
                "address": origin.address,
            }
        },
    )


def _door(request: HttpRequest) -> AuditEvent.Door:
    first = _first_part(request)
    if first == "admin":
        return AuditEvent.Door.ADMIN
    is_page = first in _FOR_PEOPLE or first == "static"
    return AuditEvent.Door.PAGE if is_page else AuditEvent.Door.API


def _first_part(request: HttpRequest) -> str:
    # A path without a slash is possible: `OPTIONS *`.
    return request.path_info.removeprefix("/").partition("/")[0]
