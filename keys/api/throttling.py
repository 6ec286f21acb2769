"""How often one caller may ask, and what one is told that asks too often."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils.translation import gettext as _
from limits import parse
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from keys import networks, rates
from keys.models import APIKey

if TYPE_CHECKING:
    # REST framework imports this module while it is still loading its views.
    from rest_framework.views import APIView


class RateLimited(Throttled):
    """A key is used more often than rate limits let it; `headers` say when to come back."""

    def __init__(self, standing: rates.Standing) -> None:
        self.headers = rates.headers(standing)
        super().__init__(wait=standing.retry_after, detail=_("This API key is used too often."))


class CallerThrottle(BaseThrottle):
    """Limits each API key, and without one each address or /64 of IPv6, to the setting API_RATE."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        self.rate = parse(settings.API_RATE)
        self.caller = _caller(request)
        try:
            return rates.ask(lambda limiter: limiter.hit(self.rate, *self.caller))
        except rates.StoreAwayError:
            # This limit protects the server, not the keys: answering is the lesser harm.
            return True

    def wait(self) -> int | None:
        try:
            stats = rates.ask(lambda limiter: limiter.get_window_stats(self.rate, *self.caller))
        except rates.StoreAwayError:
            return None
        return max(1, math.ceil(stats.reset_time - time.time()))


def _caller(request: Request) -> tuple[str, str]:
    # Named by kind: a person and a key may have the same number.
    if isinstance(request.user, APIKey):
        return "key", str(request.user.pk)
    address = request.client_address
    return "address", str(networks.subscriber(address) if address else None)
