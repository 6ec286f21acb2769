"""The demo: two organizations with people, keys of every kind and state, and a past.

Everything in it is made by the services that the doors use, at moments of the last
weeks, so that dates, audit trail and use agree with each other. Only the use itself is
written in bulk: nobody waits for half a million verifications.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from allauth.account.models import EmailAddress
from django.db import transaction
from django.utils import timezone

from keys import policy, services, usage
from keys.models import (
    APIKey,
    AuditEvent,
    KeySecret,
    KeyUsage,
    Organization,
    Role,
    Scope,
    UsageBucket,
    User,
)
from keys.services import audit
from keys.verification import Code

# The audit event by which a database is known to hold the demo.
MARK = "demo.created"

# E-mail address -> first and last name.
PEOPLE = {
    "owner@acme.example": ("Olivia", "Hart"),
    "admin@acme.example": ("Adrian", "Reyes"),
    "developer@acme.example": ("Dana", "Okafor"),
    "viewer@acme.example": ("Vera", "Lindqvist"),
    "stranger@other.example": ("Silas", "Novak"),
}
STAFF = "staff@keyhaven.example"
OWNER = "owner@acme.example"
ADMIN = "admin@acme.example"
DEVELOPER = "developer@acme.example"
STRANGER = "stranger@other.example"

SAMPLE_KEY_NAME = "Quickstart"

_DAYS_OF_USE = 30
_ADDRESSES = {
    OWNER: "198.51.100.23",
    ADMIN: "198.51.100.40",
    DEVELOPER: "2001:db8:9::51",
    STRANGER: "192.0.2.77",
    STAFF: "192.0.2.10",
}

# Share of a day's requests by hour (UTC): an office's day, and round the clock.
_OFFICE = (0, 0, 0, 0, 0, 1, 3, 7, 10, 11, 11, 9, 8, 10, 10, 9, 6, 3, 1, 1, 0, 0, 0, 0)
_STEADY = (3, 2, 2, 2, 2, 3, 3, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 4, 4, 4, 3, 3)
_NIGHTLY = (0, 30, 60, 10, *[0] * 20)


@dataclass(frozen=True)
class Traffic:
    """How a key is used: accepted requests on a weekday, when, from where, at what cost."""

    daily: int
    hours: tuple[int, ...] = _OFFICE
    weekend: float = 0.25
    cost: Decimal = Decimal(1)
    byok_cost: Decimal = Decimal(0)
    address: str = "203.0.113.20"
    user_agent: str = "python-httpx/0.28.1"
    # Outcome -> refusals for each hundred accepted requests.
    refusals: Mapping[Code, float] = field(default_factory=dict)
    # From this many days ago on every request gets this outcome.
    stopped: tuple[float, Code] | None = None
    # Days ago of the last request, where nothing stopped it.
    until: float = 0


@dataclass(frozen=True)
class DemoKey:
    """One key of the demo: who issued it how many days ago, and what became of it."""

    organization: Organization
    name: str
    issuer: str
    age: float
    grant: dict[str, Any]
    # (days ago, what happened then)
    later: tuple[tuple[float, Callable[[APIKey], Any]], ...] = ()
    traffic: Traffic | None = None


def _by(email: str, service: Callable[..., Any], **values: Any) -> Callable[[APIKey], Any]:
    """Return what lets a person of the demo call a service on a key."""

    def act(key: APIKey) -> Any:
        with _acting_as(email) as person:
            return service(actor=person, key=key, **values)

    return act


def _acme_keys(acme: Organization, now: datetime) -> list[DemoKey]:
    production, staging = (acme.workspaces.get(name=name) for name in ("Production", "Staging"))
    partner = acme.roles.get(name="partner")
    everything = ["READ", "CREATE", "UPDATE", "DELETE"]
    return [
        DemoKey(
            acme,
            "Storefront backend",
            ADMIN,
            80,
            {
                "owner": None,
                "workspace": production,
                "scopes": ["READ", "orders:read", "orders:write"],
                "description": "The shop's servers read and place orders with it.",
                "allowed_ips": [
                    {"network": "203.0.113.0/24", "comment": "Data centre, Frankfurt"},
                    {"network": "2001:db8:5::/48", "comment": "Data centre, IPv6"},
                    {"network": "203.0.113.66", "deny": True, "comment": "Retired build server"},
                ],
            },
            traffic=Traffic(
                2600,
                _STEADY,
                weekend=0.7,
                refusals={Code.FORBIDDEN_ADDRESS: 0.6, Code.INSUFFICIENT_SCOPES: 0.2},
            ),
        ),
        DemoKey(
            acme,
            "Billing export",
            ADMIN,
            62,
            {
                "owner": None,
                "workspace": production,
                "role": partner,
                "limit": Decimal(20000),
                "limit_reset": "monthly",
                "expires_at": now + timedelta(days=120),
            },
            traffic=Traffic(480, _NIGHTLY, weekend=1, user_agent="billing-export/2.4"),
        ),
        DemoKey(
            acme,
            "Support assistant",
            DEVELOPER,
            44,
            {
                "dialect": "openrouter",
                "scopes": ["READ"],
                "limit": Decimal(150),
                "limit_reset": "monthly",
                "include_byok_in_limit": True,
                "external_user": "support-desk",
            },
            traffic=Traffic(
                700,
                cost=Decimal("0.0042"),
                byok_cost=Decimal("0.0006"),
                address="2001:db8:5::14",
                user_agent="openrouter-python/1.3",
            ),
        ),
        DemoKey(
            acme,
            "Translation batch",
            DEVELOPER,
            26,
            {
                "dialect": "openrouter",
                "workspace": staging,
                "scopes": ["READ"],
                "limit": Decimal(12),
            },
            traffic=Traffic(
                260,
                _NIGHTLY,
                weekend=1,
                cost=Decimal("0.0025"),
            ),
        ),
        DemoKey(
            acme,
            "CI deploy",
            DEVELOPER,
            84,
            {
                "workspace": staging,
                "scopes": everything,
                "expires_at": now + timedelta(days=6),
                "description": "Replace before it expires: the release job uses it.",
            },
            traffic=Traffic(90, address="198.51.100.90", user_agent="curl/8.5.0"),
        ),
        DemoKey(
            acme,
            "Warehouse scanners",
            ADMIN,
            70,
            {"owner": None, "workspace": production, "scopes": ["orders:read", "shipments:write"]},
            later=((1.4, _by(ADMIN, services.rotate_key, overlap=timedelta(days=7))),),
            traffic=Traffic(820, weekend=0.5, address="203.0.113.131", user_agent="scanner/5.1"),
        ),
        DemoKey(
            acme,
            "Kiosk terminals",
            ADMIN,
            38,
            {
                "owner": None,
                "workspace": production,
                "scopes": ["READ", "orders:read"],
                "assign_server_ips": True,
            },
            traffic=Traffic(
                340, weekend=1.4, address="203.0.113.18", refusals={Code.FORBIDDEN_ADDRESS: 2.5}
            ),
        ),
        DemoKey(
            acme,
            "Mobile app 3.x",
            DEVELOPER,
            75,
            {"scopes": ["READ"], "expires_at": now - timedelta(days=9)},
            traffic=Traffic(
                410,
                _STEADY,
                weekend=1.2,
                address="198.51.100.154",
                user_agent="AcmeApp/3.9 (Android)",
                stopped=(9, Code.EXPIRED),
            ),
        ),
        DemoKey(
            acme,
            "Contractor access",
            ADMIN,
            33,
            {"owner": None, "workspace": staging, "scopes": ["READ"]},
            later=((12, _by(ADMIN, services.disable_key)),),
            traffic=Traffic(35, weekend=0, stopped=(12, Code.DISABLED)),
        ),
        DemoKey(
            acme,
            "Data science notebook",
            DEVELOPER,
            29,
            {"scopes": ["READ"], "description": "Found in a public notebook; staff locked it."},
            later=((3, _by(STAFF, services.lock_key)),),
            traffic=Traffic(150, address="198.51.100.201", stopped=(3, Code.LOCKED)),
        ),
        DemoKey(
            acme,
            "Sale weekend load test",
            ADMIN,
            2,
            {
                "owner": None,
                "workspace": staging,
                "scopes": ["orders:read"],
                "not_before": now + timedelta(days=5),
                "expires_at": now + timedelta(days=12),
            },
        ),
        DemoKey(
            acme,
            "Legacy importer",
            OWNER,
            82,
            {"scopes": everything},
            later=((20, _by(OWNER, services.revoke_key)),),
            traffic=Traffic(
                200, _NIGHTLY, weekend=1, user_agent="Java/1.8", stopped=(20, Code.REVOKED)
            ),
        ),
        DemoKey(
            acme,
            "Game servers",
            ADMIN,
            41,
            {"owner": None, "dialect": "i3d", "workspace": production, "scopes": ["READ"]},
            traffic=Traffic(110, _STEADY, weekend=1.3, user_agent="i3d-sdk-php/1.0"),
        ),
        DemoKey(
            acme,
            "Flow collector",
            ADMIN,
            36,
            {"owner": None, "dialect": "netography", "workspace": production, "scopes": ["READ"]},
            traffic=Traffic(70, _STEADY, weekend=1, address="203.0.113.40"),
        ),
        DemoKey(
            acme,
            "Server panel",
            DEVELOPER,
            31,
            {
                "dialect": "xyra",
                "workspace": staging,
                "scopes": ["READ"],
                "allowed_ips": ["198.51.100.0/24"],
            },
            traffic=Traffic(45, address="198.51.100.12", user_agent="XyraPanel/1.2"),
        ),
        DemoKey(acme, "Grafana dashboard", DEVELOPER, 25, {"scopes": ["READ"]}),
        DemoKey(
            acme,
            "Quarterly report",
            OWNER,
            83,
            {"scopes": ["READ", "MANAGE"], "workspace": production},
            traffic=Traffic(8, until=26),
        ),
    ]


def _other_keys(other: Organization) -> list[DemoKey]:
    return [
        DemoKey(
            other,
            "Fleet tracking",
            STRANGER,
            50,
            {"owner": None, "scopes": ["READ", "MANAGE"]},
            traffic=Traffic(300, _STEADY, weekend=0.8, address="192.0.2.140"),
        ),
        DemoKey(other, "Test bench", STRANGER, 12, {"scopes": ["READ"]}),
    ]


def holds_demo() -> bool:
    """Say whether the database holds the demo."""
    return AuditEvent.objects.filter(action=MARK).exists()


def holds_anything() -> bool:
    """Say whether the database holds any person or organization."""
    return User.objects.exists() or Organization.objects.exists()


def create(password: str) -> str:
    """Fill an empty database, all or nothing, and return the secret of the sample key.

    Everybody in the demo signs in with this password.
    """
    now = timezone.now()
    # The same use in every demo; there is nothing to guess.
    chance = random.Random(2026)  # noqa: S311
    with transaction.atomic():
        with _clock_at(now - timedelta(days=90)):
            _create_people(password)
            acme, other = _create_organizations()
            audit.record(actor=policy.OPERATOR, action=MARK, obj=acme, organization=acme)
        _live_through([*_acme_keys(acme, now), *_other_keys(other)], now, chance)
        return issue_sample_key()


def issue_sample_key() -> str:
    """Issue the key that a newcomer tries first, and return its secret."""
    with _acting_as(OWNER) as owner:
        return services.issue_key(
            actor=owner,
            organization=Organization.objects.get(slug="acme"),
            name=SAMPLE_KEY_NAME,
            role=Role.objects.get(organization=None, name="admin"),
            description="Printed by the quickstart command, for first steps with the API.",
        ).secret


def reset_passwords(password: str) -> None:
    """Let everybody in the demo sign in with this password."""
    for person in User.objects.filter(email__in=[*PEOPLE, STAFF]):
        person.set_password(password)
        person.save(update_fields=["password"])


def _create_people(password: str) -> None:
    people = [
        User.objects.create_user(email, password, first_name=first, last_name=last)
        for email, (first, last) in PEOPLE.items()
    ]
    people.append(User.objects.create_superuser(STAFF, password, first_name="Sasha"))
    EmailAddress.objects.bulk_create(
        EmailAddress(user=person, email=person.email, verified=True, primary=True)
        for person in people
    )


def _create_organizations() -> tuple[Organization, Organization]:
    acme, other = (
        services.create_organization(
            actor=policy.OPERATOR, name=name, slug=slug, owner=User.objects.get(email=email)
        )
        for name, slug, email in (
            ("Acme Logistics", "acme", OWNER),
            ("Other Freight", "other", STRANGER),
        )
    )
    roles = {role.name: role for role in Role.objects.filter(organization=None)}
    with _acting_as(OWNER) as owner:
        for email, role in (
            (ADMIN, "admin"),
            (DEVELOPER, "developer"),
            ("viewer@acme.example", "readonly"),
        ):
            services.add_member(
                actor=owner,
                organization=acme,
                user=User.objects.get(email=email),
                role=roles[role],
            )
        _furnish(acme, owner)
    return acme, other


def _furnish(acme: Organization, owner: User) -> None:
    """Give the organization workspaces, scopes, a role and servers of its own."""
    for name in ("Production", "Staging"):
        services.create_workspace(actor=owner, organization=acme, name=name)
    for code, description in (
        ("orders:read", "See orders."),
        ("orders:write", "Place and change orders."),
        ("invoices:read", "See invoices."),
        ("shipments:write", "Book shipments."),
    ):
        services.create_scope(actor=owner, organization=acme, code=code, description=description)
    services.create_role(
        actor=owner,
        organization=acme,
        name="partner",
        description="What companies that work with us may do.",
        scopes=Scope.objects.filter(code__in=["orders:read", "invoices:read"]),
    )
    for network, comment in (("203.0.113.16/28", "Shop floor"), ("2001:db8:5:7::/64", "Backup")):
        services.add_server_address(
            actor=owner, organization=acme, network=network, comment=comment
        )


def _live_through(plans: list[DemoKey], now: datetime, chance: random.Random) -> None:
    """Let everything planned happen in its order, then write the use of the keys."""
    keys: dict[str, APIKey] = {}

    def issue(plan: DemoKey) -> None:
        keys[plan.name] = _issue(plan)

    def change(plan: DemoKey, act: Callable[[APIKey], Any]) -> None:
        act(keys[plan.name])

    moments: list[tuple[float, Callable[[], Any]]] = []
    for plan in plans:
        moments.append((plan.age, partial(issue, plan)))
        moments.extend((days, partial(change, plan, act)) for days, act in plan.later)
    # Nobody works at the same minute of every day.
    dated = [
        (now - timedelta(days=days, minutes=chance.randrange(1, 90)), happen)
        for days, happen in moments
    ]
    for moment, happen in sorted(dated, key=lambda each: each[0]):
        with _clock_at(moment):
            happen()
    for plan in plans:
        if plan.traffic:
            _write_use(keys[plan.name], plan.traffic, plan.age, now, chance)


def _issue(plan: DemoKey) -> APIKey:
    with _acting_as(plan.issuer) as issuer:
        return services.issue_key(
            actor=issuer, organization=plan.organization, name=plan.name, **plan.grant
        )


def _write_use(
    key: APIKey, traffic: Traffic, age: float, now: datetime, chance: random.Random
) -> None:
    buckets = list(_buckets(key, traffic, age, now, chance))
    UsageBucket.objects.bulk_create(buckets, batch_size=2000)
    total = _total(key, traffic, buckets, now, chance)
    total.save()
    usage.restate_period(key, now=now)
    # During an overlap callers use the old secret and the new one.
    KeySecret.objects.filter(key=key).update(last_used_at=total.last_used_at)


def _buckets(
    key: APIKey, traffic: Traffic, age: float, now: datetime, chance: random.Random
) -> Iterator[UsageBucket]:
    """Yield a key's use by hour and outcome, oldest first, up to the running hour."""
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    # A limit that resets is chosen large enough for its period.
    left = key.limit if key.limit_reset is None else None
    for ago in range(int(min(age, _DAYS_OF_USE) * 24) - 1, int(traffic.until * 24) - 1, -1):
        hour = this_hour - timedelta(hours=ago)
        requests = _requests(traffic, hour, chance)
        if ago == 0:
            requests = requests * now.minute // 60
        outcomes = _outcomes(traffic, requests, ago / 24, chance)
        if left is not None:
            affordable = min(requests, int(left / traffic.cost))
            left -= affordable * traffic.cost
            outcomes = {Code.VALID: affordable, Code.LIMIT_EXCEEDED: requests - affordable}
        for outcome, count in outcomes.items():
            if count:
                paid = count if outcome is Code.VALID else 0
                yield UsageBucket(
                    key=key,
                    secret=key.current_secret,
                    hour=hour,
                    outcome=outcome.value,
                    requests=count,
                    cost=traffic.cost * paid,
                    byok_cost=traffic.byok_cost * paid,
                )


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


def _total(
    key: APIKey,
    traffic: Traffic,
    buckets: list[UsageBucket],
    now: datetime,
    chance: random.Random,
) -> KeyUsage:
    total = KeyUsage(key=key, last_address=traffic.address, last_user_agent=traffic.user_agent)
    sums: dict[bool, int] = defaultdict(int)
    for bucket in buckets:
        sums[bucket.outcome == Code.VALID] += bucket.requests
    total.requests, total.refused = sums[True], sums[False]
    total.cost = sum((bucket.cost for bucket in buckets), Decimal(0))
    total.byok_cost = sum((bucket.byok_cost for bucket in buckets), Decimal(0))
    last = max(bucket.hour for bucket in buckets if bucket.outcome == Code.VALID)
    latest = min(last + timedelta(hours=1), now)
    total.last_used_at = last + (latest - last) * chance.random()
    return total


@contextmanager
def _clock_at(moment: datetime) -> Iterator[None]:
    """Let everything inside happen at that moment.

    The demo's past is made by the real services, which ask Django for the time; rows
    whose dates were altered afterwards would contradict each other and the audit trail.
    """
    real = timezone.now
    timezone.now = lambda: moment
    try:
        yield
    finally:
        timezone.now = real


@contextmanager
def _acting_as(email: str) -> Iterator[User]:
    door = AuditEvent.Door.ADMIN if email == STAFF else AuditEvent.Door.PAGE
    with audit.acting_from(audit.Origin(door, _ADDRESSES[email])):
        yield User.objects.get(email=email)
