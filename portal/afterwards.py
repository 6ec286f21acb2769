"""Sending mails once the answer is on its way.

Whoever waits for it does not wait for the mail server, and does not learn by how long it took
whether an address has an account.
"""

from collections.abc import Callable
from functools import partial

from django.http import HttpRequest, HttpResponse

from keys import services
from keys.models import Letter


def send_afterwards(request: HttpRequest | None, letter: Letter) -> None:
    """Send a letter once the request is answered, or now where there is none."""
    if request is None:
        services.send_letters([letter])
        return
    request.__dict__.setdefault("letters", []).append(letter)


class AfterwardsMiddleware:
    """Sends what `send_afterwards` was given. Whatever fails is left to the worker."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        written = getattr(request, "letters", None)
        if written:
            # Servers close an answer when all of it was sent.
            response._resource_closers.append(  # type: ignore[attr-defined]
                partial(services.send_letters, written)
            )
        return response
