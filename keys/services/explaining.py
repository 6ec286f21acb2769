"""What would become of a request with a key: judged as it would be, not counted, not charged."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import F, Q
from django.utils import timezone

from keys import policy, rates, roles, snapshots
from keys.models import APIKey, KeySecret, Organization
from keys.models.organizations import LimiterFailure
from keys.models.usage import LimitReset
from keys.networks import Address
from keys.policy import Actor
from keys.rates import Rate, StoreAwayError, Window
from keys.roles import BuiltInScope, Permission, Reach
from keys.services.rate_limits import rates_of
from keys.verification import Check, Code, Question, explain, judge

# No primary key is longer.
_MAX_DIGITS = 18


@dataclass(frozen=True)
class RateCheck:
    """The check of rate limits. `windows` None: what is left of them cannot be told.

    That is so while their store is away, and at any moment but now.
    """

    rates: Sequence[Rate]
    windows: Sequence[Window] | None
    is_for_now: bool
    # Whether uses that cannot be counted are let through.
    passes_uncounted: bool

    @property
    def passes(self) -> bool:
        """Whether one more use would keep them."""
        if self.windows is None:
            return self.passes_uncounted
        return all(window.remaining for window in self.windows)


@dataclass(frozen=True)
class LimitCheck:
    """The last check, with what it looked at: amounts in credits, None without a limit."""

    limit: Decimal | None
    remaining: Decimal | None
    cost: Decimal
    resets_at: datetime | None

    @property
    def passes(self) -> bool:
        """Whether charging the cost would succeed; what costs nothing always passes."""
        return self.remaining is None or self.cost <= self.remaining


@dataclass(frozen=True)
class Explanation:
    """Every check of one question about one secret, in order; then its rates, then its limit."""

    secret: KeySecret
    question: Question
    code: Code
    checks: list[Check]
    rates: RateCheck
    limit: LimitCheck

    @property
    def is_accepted(self) -> bool:
        """Whether the request would be let through."""
        return self.code is Code.VALID


def find_secret(*, actor: Actor, organization: Organization, text: str) -> KeySecret | None:
    """Return the secret that a text names, of a key in the organization that the actor sees.

    That is a whole secret or its label, or for a key's number, identifier or public hash its
    current secret (the newest, when all are stopped). Where nothing is called so, a key's
    short name or name does as well, of keys with one name the newest. None for anything else.
    """
    visible = policy.visible(actor, organization.api_keys.all())
    presented = snapshots.find_secret(text)
    if presented is not None:
        return presented if visible.filter(pk=presented.key_id).exists() else None
    named = Q(label=text) | Q(key__identifier=text.lower()) | Q(key__hash=text.lower())
    if text.isdecimal() and text.isascii() and len(text) <= _MAX_DIGITS:
        named |= Q(key=int(text))
    rows = KeySecret.objects.filter(key__in=visible)
    pks = rows.order_by(F("revoked_at").asc(nulls_first=True), "-pk").values_list("pk", flat=True)
    called = Q(key__slug=text) | Q(key__name__iexact=text)
    found = pks.filter(named).first() or pks.filter(called).first()
    return None if found is None else snapshots.load_secret(found)


def explain_secret(
    *,
    actor: Actor,
    secret: KeySecret,
    address: Address | None,
    scopes: frozenset[str] = frozenset(),
    permission: Permission | None = None,
    cost: Decimal = Decimal(1),
    at: datetime | None = None,
) -> Explanation:
    """Say what would become of a request with this secret, at that moment (None: now).

    With a `permission` it is a call to the portal itself, about the key's own things: it
    needs a scope that grants it, and costs nothing. All but the moment is taken as it is
    now. Raises PermissionDenied.
    """
    policy.require(actor, Permission.VIEW_APIKEY, secret.key)
    now = timezone.now()
    snapshot = snapshots.take(secret)
    if permission is not None:
        scopes |= {_scope_for(permission, snapshot.scopes)}
        cost = Decimal(0)
    question = Question(now=at or now, address=address, scopes=scopes)
    # What was left of a limit in the past is not known any more.
    limit = _check_limit(secret.key, cost, max(question.now, now))
    bounds = _check_rates(secret.key, is_portal_call=permission is not None, is_now=at is None)
    code = judge(snapshot, question)
    if code is Code.VALID and not bounds.passes:
        code = Code.RATE_LIMITED
    if code is Code.VALID and not limit.passes:
        code = Code.LIMIT_EXCEEDED
    return Explanation(secret, question, code, explain(snapshot, question), bounds, limit)


def _scope_for(permission: Permission, held: frozenset[str]) -> str:
    """Return the scope that grants this to who holds these; where none does, the one to ask for."""
    scope = roles.narrowest_scope(permission, held, Reach.OWN) or roles.narrowest_scope(
        permission, frozenset(BuiltInScope), Reach.OWN
    )
    if scope is None:
        raise ValueError(f"No scope grants {permission}.")
    return scope


def _check_rates(key: APIKey, *, is_portal_call: bool, is_now: bool) -> RateCheck:
    bounds = rates.bounding(rates_of(key), is_portal_call=is_portal_call)
    windows: Sequence[Window] | None = None
    if is_now:
        with suppress(StoreAwayError):
            windows = rates.look(bounds)
    # Of another moment nothing is known, and so nothing is held against it.
    is_let_through = not is_now or key.organization.limiter_failure == LimiterFailure.ALLOW
    return RateCheck(bounds, windows, is_now, is_let_through or not bounds)


def _check_limit(key: APIKey, cost: Decimal, at: datetime) -> LimitCheck:
    return LimitCheck(
        limit=key.limit,
        remaining=key.remaining_at(at),
        cost=cost,
        resets_at=None if key.limit is None else LimitReset.period_end(key.limit_reset, at),
    )
