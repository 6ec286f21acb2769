"""What people and programs see when a request fails outside the views."""

from django.http import HttpRequest, HttpResponse, HttpResponseServerError
from django.template.loader import render_to_string
from django.views import defaults

from keys.api.errors import Failure
from keys.api.urls import answer_failure


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400: the request itself is malformed."""
    failure = Failure(400, "bad_request", "The request is malformed.")
    return answer_failure(request, failure) or defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 403: signed in, but not permitted."""
    failure = Failure(403, "permission_denied", "You do not have permission to do this.")
    return answer_failure(request, failure) or defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404: nothing here, or nothing that this person may see."""
    failure = Failure(404, "not_found", "Not found.")
    return answer_failure(request, failure) or defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500."""
    failure = Failure(500, "error", "Something went wrong on our side.")
    return answer_failure(request, failure) or _broken_page(request)


def _broken_page(request: HttpRequest) -> HttpResponse:
    # Rendered without the request: whatever reads a session or the database may be what broke.
    page = render_to_string("500.html", {"request_id": getattr(request, "id", "")})
    return HttpResponseServerError(page)
