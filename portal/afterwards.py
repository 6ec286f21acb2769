"""What is done once the answer is on its way, such as sending mails.

Whoever waits for it does not wait for the mail server, and does not learn by how long it took
whether an address has an account.
"""

import logging
from collections.abc import Callable
from functools import partial

from django.http import HttpRequest, HttpResponse

from keys import services
from keys.models import Letter
from keys.services.audit import Origin, acting_from, current_origin

logger = logging.getLogger(__name__)


def send_afterwards(request: HttpRequest | None, letter: Letter) -> None:
    """Send a letter once the request is answered, or now where there is none."""
    if request is None:
        services.send_letters([letter])
        return
    request.__dict__.setdefault("letters", []).append(letter)


def do_afterwards(request: HttpRequest, work: Callable[[], object]) -> None:
    """Do something once the request is answered, as coming from there. What fails is logged."""
    request.__dict__.setdefault("afterwards", []).append(partial(_do, work, current_origin()))


class AfterwardsMiddleware:
    """Does what `do_afterwards` was given, and sends what `send_afterwards` was.

    Whatever cannot be sent is left to the worker.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        left = list(getattr(request, "afterwards", ()))
        written = getattr(request, "letters", None)
        if written:
            left.append(partial(services.send_letters, written))
        # Servers close an answer when all of it was sent.
        response._resource_closers.extend(left)  # type: ignore[attr-defined]
        return response


def _do(work: Callable[[], object], origin: Origin) -> None:
    try:
        with acting_from(origin):
            work()
    except Exception:
        # Nobody is left to tell.
        logger.exception("What was left for after the answer failed.")
