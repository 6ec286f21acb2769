"""How often a key was used lately, and whether it may be used once more.

Windows slide, and are counted by the `limits` library in the store of the setting
RATE_LIMIT_STORAGE: for the rate limits of keys and organizations, and for the setting
API_RATE. Pure otherwise: which limits bound a use, callers say.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeVar, cast

from django.conf import settings
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import SlidingWindowCounterSupport, storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter
from redis.backoff import NoBackoff
from redis.retry import Retry

from keys import local_counts  # noqa: F401  (the library then knows local://)
from keys.models.organizations import LimiterFailure
from keys.models.rates import Period

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Limiter = SlidingWindowCounterRateLimiter

# A store that does not answer is not waited for longer, and then left alone for a while.
STORE_TIMEOUT_SECONDS = 0.25
STORE_PAUSE_SECONDS = 1.0

_SECONDS = {str(period): period.seconds for period in Period}

KEY, ORGANIZATION = "key", "organization"


class StoreAwayError(Exception):
    """What counts does not answer."""


class Rate(NamedTuple):
    """That `owner` (KEY or ORGANIZATION) number `owner_id` has so many uses in any `period`."""

    owner: str
    owner_id: int
    amount: int
    period: str

    @property
    def name(self) -> str:
        """What distinguishes it from the others that bound the same use."""
        return f"{self.owner}-{self.period}"

    @property
    def seconds(self) -> int:
        """How long its window is."""
        return _SECONDS[self.period]


@dataclass(frozen=True, slots=True)
class Window:
    """How much is left of a rate, and in how many seconds there is more of it."""

    rate: Rate
    remaining: int
    reset: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a use keeps all rates that bound it; no windows where nothing was counted."""

    windows: tuple[Window, ...] = ()
    is_within: bool = True

    @property
    def retry_after(self) -> int | None:
        """In how many seconds a refused use may be tried again; None: it was not refused."""
        if self.is_within:
            return None
        return max((each.reset for each in self.windows if not each.remaining), default=1)


FREE = Standing()


def bounding(rates: Sequence[Rate], *, is_portal_call: bool) -> Sequence[Rate]:
    """Return which of a key's rates bound a use: a call to the portal itself, or any other.

    An organization's are for what its services ask about. Its keys' calls to the portal,
    asking included, would use them up as well.
    """
    return [rate for rate in rates if rate.owner == KEY] if is_portal_call else rates


def take(rates: Sequence[Rate], failure: str) -> Standing:
    """Count one use against all of these rates, or against none when one of them refuses it.

    `failure` says what becomes of it while the store is away, as LimiterFailure.
    """
    if not rates:
        return FREE
    try:
        return ask(lambda limiter: _take(limiter, rates))
    except StoreAwayError:
        return Standing(is_within=failure == LimiterFailure.ALLOW)


def look(rates: Iterable[Rate]) -> tuple[Window, ...]:
    """Return what is left of each rate, counting nothing. Raises StoreAwayError."""
    return ask(lambda limiter: tuple(_measure(limiter, rate).window() for rate in rates))


def headers(standing: Standing) -> dict[str, str]:
    """Return the fields of a reply that tell a client where it stands, as structured fields.

    Those of the IETF's draft "RateLimit header fields for HTTP": policies (`q` uses in `w`
    seconds), what remains (`r`), seconds to the next reset (`t`).
    """
    fields = {}
    if standing.windows:
        fields["RateLimit-Policy"] = ", ".join(
            f'"{each.rate.name}";q={each.rate.amount};w={each.rate.seconds}'
            for each in standing.windows
        )
        fields["RateLimit"] = ", ".join(
            f'"{each.rate.name}";r={each.remaining};t={each.reset}' for each in standing.windows
        )
    if not standing.is_within:
        fields["Retry-After"] = str(standing.retry_after)
    return fields


def ask(question: Callable[[Limiter], Answer]) -> Answer:
    """Return what the limiter answers. Raises StoreAwayError within the timeout of the store."""
    return _store(settings.RATE_LIMIT_STORAGE).ask(question)


def is_store_there() -> bool:
    """Say whether rates can be counted now."""
    try:
        return ask(lambda limiter: limiter.storage.check())
    except StoreAwayError:
        return False


class _Store:
    """The one limiter of a process, and whether what it counts in answers."""

    def __init__(self, url: str) -> None:
        options: dict = {}
        if url.startswith("local:"):
            path = settings.STATE_DIR / "rates.sqlite3"
            options = {"path": path, "timeout": STORE_TIMEOUT_SECONDS}
        elif url.startswith("redis"):
            # One more try at once, for connections that a restart of the server cut.
            options = {
                "socket_timeout": STORE_TIMEOUT_SECONDS,
                "socket_connect_timeout": STORE_TIMEOUT_SECONDS,
                "retry": Retry(NoBackoff(), 1),
            }
        self.limiter = Limiter(storage_from_string(url, wrap_exceptions=True, **options))
        self._away_until = 0.0
        self._is_away = False

    def ask(self, question: Callable[[Limiter], Answer]) -> Answer:
        if self._is_away and time.monotonic() < self._away_until:
            raise StoreAwayError
        try:
            answer = question(self.limiter)
        except StorageError as error:
            self._away_until = time.monotonic() + STORE_PAUSE_SECONDS
            # Once, not for each of a million requests.
            if not self._is_away:
                logger.exception("Rate limits cannot be counted: their store does not answer.")
            self._is_away = True
            raise StoreAwayError from error
        if self._is_away:
            self._is_away = False
            logger.warning("Rate limits are counted again: their store answers.")
        return answer


@lru_cache(maxsize=4)
def _store(url: str) -> _Store:
    return _Store(url)


class _Item(RateLimitItemPerSecond):
    """A rate as the library knows it."""

    @classmethod
    def of(cls, rate: Rate) -> _Item:
        return cls(rate.amount, multiples=rate.seconds, namespace="rates")

    def key_for(self, *identifiers: bytes | str | int | float) -> str:
        # Without the amount: a rate that is raised or lowered goes on counting.
        return "/".join([self.namespace, *map(str, identifiers), str(self.multiples)])


@dataclass(frozen=True, slots=True)
class _Count:
    """Uses in the window before the running one and in that, which `ends` in so many seconds."""

    rate: Rate
    previous: int
    current: int
    ends: float

    def window(self, more: int = 0) -> Window:
        """Return how the rate stands after so many more uses."""
        amount, current = self.rate.amount, self.current + more
        # The window slides: of the one before, that part counts which it still covers.
        used = math.floor(self.previous * self.ends / self.rate.seconds + current)
        if used < amount:
            return Window(self.rate, amount - used, max(1, math.ceil(self.ends)))
        return Window(self.rate, 0, math.floor(self._seconds_to_next(current)) + 1)

    def _seconds_to_next(self, current: int) -> float:
        amount, seconds = self.rate.amount, self.rate.seconds
        if current < amount:
            return self.ends - (amount - current) * seconds / self.previous
        return self.ends + seconds * (1 - amount / current)


def _take(limiter: Limiter, rates: Sequence[Rate]) -> Standing:
    counts = [_measure(limiter, rate) for rate in rates]
    # Looked at first, so that a use which one window refuses eats nothing of the others.
    if all(count.window().remaining for count in counts):
        if all(limiter.hit(_Item.of(rate), *_identity(rate)) for rate in rates):
            return Standing(tuple(count.window(more=1) for count in counts))
        counts = [_measure(limiter, rate) for rate in rates]  # others were faster
    return Standing(tuple(count.window() for count in counts), is_within=False)


def _measure(limiter: Limiter, rate: Rate) -> _Count:
    item: RateLimitItem = _Item.of(rate)
    storage = cast(SlidingWindowCounterSupport, limiter.storage)
    previous, previous_ends, current, current_ends = storage.get_sliding_window(
        item.key_for(*_identity(rate)), item.get_expiry()
    )
    # The running window is kept until the next is over, too.
    ends = previous_ends if previous else current_ends % rate.seconds
    return _Count(rate, previous, current, round(ends, 3) or float(rate.seconds))


def _identity(rate: Rate) -> tuple[str, str]:
    return rate.owner, str(rate.owner_id)
