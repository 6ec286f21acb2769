"""How the demo's keys were used: written in bulk, and such that all of it agrees.

Hours add up to totals, minutes to the hours they are of, and the latest decisions are
requests of the latest hours.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from keys import tallies, usage
from keys.decisions import DECISIONS_KEPT_FOR
from keys.models import (
    APIKey,
    Decision,
    KeySecret,
    MinuteBucket,
    ScopeUse,
    UsageBucket,
)
from keys.verification import Code

DAYS_OF_USE = 30
_DECISIONS_OF_EACH = 60
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)

# What callers that are refused come from, and what they ask for.
_ELSEWHERE = "192.0.2.166"
_TOO_MUCH = ("invoices:read", "MANAGE")

# Share of a day's requests by hour (UTC): an office's day, and round the clock.
OFFICE = (0, 0, 0, 0, 0, 1, 3, 7, 10, 11, 11, 9, 8, 10, 10, 9, 6, 3, 1, 1, 0, 0, 0, 0)
STEADY = (3, 2, 2, 2, 2, 3, 3, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 4, 4, 4, 3, 3)
NIGHTLY = (0, 30, 60, 10, *[0] * 20)


@dataclass(frozen=True)
class Traffic:
    """How a key is used: accepted requests on a weekday, when, from where, at what cost."""

    daily: int
    hours: tuple[int, ...] = OFFICE
    weekend: float = 0.25
    cost: Decimal = Decimal(1)
    byok_cost: Decimal = Decimal(0)
    addresses: tuple[str, ...] = ("203.0.113.20",)
    user_agent: str = "python-httpx/0.28.1"
    # Where callers ask, and which scopes they ask for, some the first and some the next.
    door: Decision.Door = Decision.Door.AUTH
    scopes: tuple[tuple[str, ...], ...] = ()
    # Of calls to the portal itself: (method, path).
    calls: tuple[tuple[str, str], ...] = ()
    # Outcome -> refusals for each hundred accepted requests.
    refusals: Mapping[Code, float] = field(default_factory=dict)
    # From this many days ago on every request gets this outcome.
    stopped: tuple[float, Code] | None = None
    # Days ago of the last request, where nothing stopped it.
    until: float = 0

    @property
    def agent_told(self) -> str:
        """What the portal learns of the client: a service that asks for it says nothing."""
        return "" if self.door == Decision.Door.VERIFY else self.user_agent


def write(
    plans: Sequence[tuple[APIKey, Traffic, float]], now: datetime, chance: random.Random
) -> None:
    """Write the use of keys: each with how it is used, and since how many days."""
    decisions: list[Decision] = []
    for key, traffic, age in plans:
        secrets = list(KeySecret.objects.filter(key=key).order_by("pk"))
        buckets = list(_buckets(key, secrets, traffic, age, now, chance))
        UsageBucket.objects.bulk_create(buckets, batch_size=2000)
        latest = _decisions(traffic, buckets, now, chance)
        _write_totals(key, buckets, latest, traffic)
        usage.restate_period(key, now=now)
        _write_last_uses(secrets, buckets, latest)
        MinuteBucket.objects.bulk_create(_minutes(key, buckets, now, chance))
        ScopeUse.objects.bulk_create(_scope_uses(key, traffic))
        decisions += latest
    for organization in {key.organization for key, _traffic, _age in plans}:
        tallies.recount(organization)
    # Numbered as time goes.
    Decision.objects.bulk_create(sorted(decisions, key=lambda each: each.at), batch_size=1000)


def _buckets(
    key: APIKey,
    secrets: list[KeySecret],
    traffic: Traffic,
    age: float,
    now: datetime,
    chance: random.Random,
) -> Iterator[UsageBucket]:
    """Yield a key's use by secret, hour and outcome, oldest first, up to the running hour."""
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    # A limit that resets is chosen large enough for its period.
    left = key.limit if key.limit_reset is None else None
    first = int(min(age, traffic.until + DAYS_OF_USE) * 24) - 1
    for ago in range(first, int(traffic.until * 24) - 1, -1):
        hour = this_hour - ago * _HOUR
        requests = _requests(traffic, hour, chance)
        if ago == 0:
            requests = requests * now.minute // 60
        outcomes = _outcomes(traffic, requests, ago / 24, chance)
        if left is not None:
            affordable = min(requests, int(left / traffic.cost))
            left -= affordable * traffic.cost
            outcomes = {Code.VALID: affordable, Code.LIMIT_EXCEEDED: requests - affordable}
        for outcome, count in outcomes.items():
            for secret, share in _by_secret(secrets, hour, count, chance):
                paid = share if outcome is Code.VALID else 0
                yield UsageBucket(
                    key=key,
                    secret=secret,
                    hour=hour,
                    outcome=outcome.value,
                    requests=share,
                    cost=traffic.cost * paid,
                    byok_cost=traffic.byok_cost * paid,
                )


def _by_secret(
    secrets: list[KeySecret], hour: datetime, count: int, chance: random.Random
) -> list[tuple[KeySecret, int]]:
    """Share requests among the secrets of a key: callers move to a new one by and by."""
    born = [secret for secret in secrets if secret.created_at < hour] or secrets[:1]
    moved = 0
    if len(born) > 1:
        days = (hour - born[-1].created_at) / _DAY
        moved = min(int(count * min(days / 2, 0.85) * chance.uniform(0.9, 1.1)), count)
    shares = [(born[-1], moved), (born[-2], count - moved)] if len(born) > 1 else [(born[0], count)]
    return [(secret, share) for secret, share in shares if share]


def _requests(traffic: Traffic, hour: datetime, chance: random.Random) -> int:
    expected = traffic.daily * traffic.hours[hour.hour] / sum(traffic.hours)
    if hour.weekday() >= 5:
        expected *= traffic.weekend
    requests = expected * chance.uniform(0.7, 1.3)
    # Less than one request an hour is one request in some of the hours.
    return int(requests) + (chance.random() < requests % 1)


def _outcomes(
    traffic: Traffic, requests: int, days_ago: float, chance: random.Random
) -> dict[Code, int]:
    if traffic.stopped and days_ago <= traffic.stopped[0]:
        # Callers notice sooner or later that they are refused.
        patience = days_ago / traffic.stopped[0]
        return {traffic.stopped[1]: int(requests * patience**2)}
    refused = {
        code: int(requests * share / 100 * chance.uniform(0, 2.5))
        for code, share in traffic.refusals.items()
    }
    return {Code.VALID: requests, **refused}


def _write_totals(
    key: APIKey, buckets: list[UsageBucket], decisions: list[Decision], traffic: Traffic
) -> None:
    sums: dict[bool, int] = defaultdict(int)
    for bucket in buckets:
        sums[bucket.outcome == Code.VALID] += bucket.requests
    key.totals.requests, key.totals.refused = sums[True], sums[False]
    key.totals.cost = sum((bucket.cost for bucket in buckets), Decimal(0))
    key.totals.byok_cost = sum((bucket.byok_cost for bucket in buckets), Decimal(0))
    last = _last_accepted(decisions)
    key.totals.last_used_at = last.at if last else _last_hour(buckets) + _HOUR / 2
    key.totals.last_address = last.address if last else traffic.addresses[0]
    key.totals.last_user_agent = traffic.agent_told
    key.totals.save()


def _write_last_uses(
    secrets: list[KeySecret], buckets: list[UsageBucket], decisions: list[Decision]
) -> None:
    for secret in secrets:
        used = [bucket for bucket in buckets if bucket.secret_id == secret.pk]
        if not any(bucket.outcome == Code.VALID for bucket in used):
            continue
        last = _last_accepted([each for each in decisions if each.secret_id == secret.pk])
        secret.last_used_at = last.at if last else _last_hour(used) + _HOUR / 2
        secret.save(update_fields=["last_used_at"])


def _last_accepted(decisions: list[Decision]) -> Decision | None:
    """Return the latest request that was let through, if it is among those that are kept."""
    accepted = [each for each in decisions if each.outcome == Code.VALID]
    return max(accepted, key=lambda each: each.at, default=None)


def _last_hour(buckets: list[UsageBucket]) -> datetime:
    """Return the hour of the last request that was let through."""
    return max(bucket.hour for bucket in buckets if bucket.outcome == Code.VALID)


def _minutes(
    key: APIKey, buckets: list[UsageBucket], now: datetime, chance: random.Random
) -> list[MinuteBucket]:
    """Return the last hour by the minute, from the two hours in which it lies."""
    this_minute = now.replace(second=0, microsecond=0)
    counts: dict[tuple[datetime, str], int] = defaultdict(int)
    for bucket in buckets:
        minutes = [
            bucket.hour + timedelta(minutes=number)
            for number in range(60)
            if bucket.hour + timedelta(minutes=number) < this_minute
        ]
        if bucket.hour < now - 2 * _HOUR or not minutes:
            continue
        for _ in range(bucket.requests):
            counts[chance.choice(minutes), bucket.outcome] += 1
    return [
        MinuteBucket(key=key, minute=minute, outcome=outcome, requests=requests)
        for (minute, outcome), requests in counts.items()
        if minute >= this_minute - _HOUR
    ]


def _scope_uses(key: APIKey, traffic: Traffic) -> list[ScopeUse]:
    codes = {code for asked in traffic.scopes for code in asked}
    last_used_at = key.totals.last_used_at or key.created_at
    return [
        ScopeUse(
            key=key,
            code=code,
            requests=key.totals.requests
            * sum(code in asked for asked in traffic.scopes)
            // len(traffic.scopes),
            last_used_at=last_used_at,
        )
        for code in sorted(codes)
    ]


def _decisions(
    traffic: Traffic, buckets: list[UsageBucket], now: datetime, chance: random.Random
) -> list[Decision]:
    """Return the latest requests, one by one."""
    decisions: list[Decision] = []
    for bucket in reversed(buckets):
        if bucket.hour < now - DECISIONS_KEPT_FOR:
            break
        until = min(bucket.hour + _HOUR, now)
        for _ in range(min(bucket.requests, _DECISIONS_OF_EACH - len(decisions))):
            at = bucket.hour + (until - bucket.hour) * chance.random()
            decisions.append(_decision(traffic, bucket, at, chance))
    return decisions


def _decision(
    traffic: Traffic, bucket: UsageBucket, at: datetime, chance: random.Random
) -> Decision:
    is_paid = bucket.outcome == Code.VALID
    scopes = list(chance.choice(traffic.scopes)) if traffic.scopes else []
    if bucket.outcome == Code.INSUFFICIENT_SCOPES:
        scopes = [chance.choice(_TOO_MUCH)]
    is_elsewhere = bucket.outcome == Code.FORBIDDEN_ADDRESS
    method, path = chance.choice(traffic.calls) if traffic.calls else ("", "")
    return Decision(
        key=bucket.key,
        secret=bucket.secret,
        at=at,
        outcome=bucket.outcome,
        door=traffic.door,
        address=_ELSEWHERE if is_elsewhere else chance.choice(traffic.addresses),
        user_agent=traffic.agent_told,
        # Calls to the portal ask for none.
        scopes=[] if traffic.calls else scopes,
        method=method,
        path=path,
        cost=traffic.cost if is_paid else Decimal(0),
        request_id=f"{chance.getrandbits(128):032x}",
    )
