"""What people and programs see when a request fails outside the views."""

import sys
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from keys.admin.site import StaffOnlyError, staff
from keys.api.errors import RETRY_AFTER_SECONDS, Failure, may_pass
from keys.api.urls import answer_failure


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400: the request itself is malformed."""
    failure = Failure(400, "bad_request", "The request is malformed.")
    return answer_failure(request, failure) or _page(request, 400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 403: signed in, but not permitted."""
    failure = Failure(403, "permission_denied", "You do not have permission to do this.")
    return answer_failure(request, failure) or _page(
        request,
        403,
        exception=str(exception),
        is_for_staff=isinstance(exception, StaffOnlyError),
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404: nothing here, or nothing that this person may see."""
    failure = Failure(404, "not_found", "Not found.")
    found = request.resolver_match
    return answer_failure(request, failure) or _page(
        request, 404, is_of_staff=found is not None and staff.name in found.namespaces
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500, or 503 and when to try again where that may pass."""
    status = 503 if may_pass(sys.exc_info()[1]) else 500
    failure = Failure(status, "error", "Something went wrong on our side.")
    response = answer_failure(request, failure) or _broken_page(request, status)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _page(request: HttpRequest, status: int, **context: Any) -> HttpResponse:
    # Not Django's own views: these look for a token in the form, and fail at one they cannot read.
    content = render_to_string(f"{status}.html", context, request)
    return HttpResponse(content, status=status)


def _broken_page(request: HttpRequest, status: int) -> HttpResponse:
    # Rendered without the request: whatever reads a session or the database may be what broke.
    about = {"request_id": getattr(request, "id", ""), "status": status}
    return HttpResponse(render_to_string("500.html", about), status=status)
