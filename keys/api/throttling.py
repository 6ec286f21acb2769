"""How often one caller may ask. Windows are counted by the `limits` library, atomically."""

from __future__ import annotations

import logging
import math
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from django.conf import settings
from limits import parse
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from keys.models import APIKey

if TYPE_CHECKING:
    # REST framework imports this module while it is still loading its views.
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)


class CallerThrottle(BaseThrottle):
    """Limits each API key, and each address without one, to the setting API_RATE."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        self.rate = parse(settings.API_RATE)
        self.caller = _caller(request)
        try:
            return _limiter(settings.RATE_LIMIT_STORAGE).hit(self.rate, *self.caller)
        except StorageError:
            # The limit protects the server, not the keys: answering is the lesser harm.
            logger.exception("Rate limits are not enforced: their store does not answer.")
            return True

    def wait(self) -> int:
        limiter = _limiter(settings.RATE_LIMIT_STORAGE)
        reset_at = limiter.get_window_stats(self.rate, *self.caller).reset_time
        return max(1, math.ceil(reset_at - time.time()))


def _caller(request: Request) -> tuple[str, str]:
    # Named by kind: a person and a key may have the same number.
    if isinstance(request.user, APIKey):
        return "key", str(request.user.pk)
    return "address", str(request.client_address)


@lru_cache(maxsize=4)
def _limiter(storage_url: str) -> SlidingWindowCounterRateLimiter:
    return SlidingWindowCounterRateLimiter(storage_from_string(storage_url, wrap_exceptions=True))
