"""What machines ask of a process: does it live, is it ready, what did it count.

Answered ahead of everything else: a load balancer's probe comes with any host name, over plain
HTTP, and without a session. The answers give nothing away; the reasons are in the log.
"""

import logging
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from prometheus_client import CONTENT_TYPE_LATEST

from keys import health, networks

logger = logging.getLogger(__name__)


class OperationsMiddleware:
    """Answers `/livez`, `/readyz`, and to METRICS_ALLOWED_FROM `/metrics`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.answers = {"/livez": _alive, "/readyz": _ready, "/metrics": _metrics}

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self.answers.get(request.path_info)
        if answer is None:
            return self.get_response(request)
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        response = answer(request)
        response["Cache-Control"] = "no-store"
        return response


def _alive(request: HttpRequest) -> HttpResponse:
    return _text("ok")


def _ready(request: HttpRequest) -> HttpResponse:
    objections = health.objections()
    if objections:
        logger.warning("Not ready: %s.", ", ".join(objections))
        return _text("not ready", status=503)
    return _text("ok")


def _metrics(request: HttpRequest) -> HttpResponse:
    address = networks.client_address(request.META, settings.TRUSTED_PROXIES)
    if address is None or not networks.contains(settings.METRICS_ALLOWED_FROM, address):
        return _text("not found", status=404)
    return HttpResponse(health.measures(), content_type=CONTENT_TYPE_LATEST)


def _text(text: str, status: int = 200) -> HttpResponse:
    return HttpResponse(f"{text}\n", content_type="text/plain; charset=utf-8", status=status)
