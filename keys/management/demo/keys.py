"""The keys of the demo: of every kind and state, each with a past and a use of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from keys import services
from keys.management.demo.cast import (
    ADMIN,
    DEVELOPER,
    FORMER,
    OWNER,
    STAFF,
    STRANGER,
    VIEWER,
    acting_as,
    by,
)
from keys.management.demo.traffic import NIGHTLY, STEADY, Traffic
from keys.models import APIKey, Decision, Organization, Role
from keys.verification import Code


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


def _leave(key: APIKey) -> None:
    """Let the person whose key it is leave the organization."""
    with acting_as(OWNER) as owner:
        membership = key.organization.memberships.get(user=key.owner)
        services.remove_member(actor=owner, membership=membership)


def _only_read(key: APIKey) -> None:
    """Give the person whose key it is a role in which they issue no more."""
    with acting_as(OWNER) as owner:
        membership = key.organization.memberships.get(user=key.owner)
        role = Role.objects.get(organization=None, name="readonly")
        services.update_member(actor=owner, membership=membership, role=role)


def acme_keys(acme: Organization, now: datetime) -> list[DemoKey]:
    """Return the keys of the first organization."""
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
                "scopes": ["orders:read", "orders:write"],
                "description": "The shop's servers read and place orders with it.",
                "allowed_ips": [
                    {"network": "203.0.113.0/24", "comment": "Data centre, Frankfurt"},
                    {"network": "2001:db8:5::/48", "comment": "Data centre, IPv6"},
                    {"network": "203.0.113.66", "deny": True, "comment": "Retired build server"},
                ],
                "rate_limits": [{"amount": 600, "period": "minute"}],
            },
            traffic=Traffic(
                2600,
                STEADY,
                weekend=0.7,
                addresses=("203.0.113.20", "203.0.113.20", "203.0.113.21", "2001:db8:5::9"),
                scopes=(("orders:read",), ("orders:read",), ("orders:write",)),
                refusals={
                    Code.FORBIDDEN_ADDRESS: 0.6,
                    Code.INSUFFICIENT_SCOPES: 0.2,
                    Code.RATE_LIMITED: 0.4,
                },
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
            traffic=Traffic(
                480,
                NIGHTLY,
                weekend=1,
                door=Decision.Door.VERIFY,
                scopes=(("invoices:read",), ("invoices:read", "orders:read")),
            ),
        ),
        DemoKey(
            acme,
            "Board report",
            VIEWER,
            190,
            {
                "scopes": ["READ"],
                "description": "Counts requests for the quarterly report.",
                "expires_at": now + timedelta(days=75),
            },
            later=((160, _only_read),),
            traffic=Traffic(3, user_agent="Wget/1.25.0", weekend=0),
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
                addresses=("2001:db8:5::14",),
                user_agent="openrouter-python/1.3",
                door=Decision.Door.VERIFY,
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
                NIGHTLY,
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
            traffic=Traffic(
                90,
                cost=Decimal(0),
                addresses=("198.51.100.90", "198.51.100.91"),
                user_agent="curl/8.5.0",
                door=Decision.Door.API,
                scopes=(("READ",), ("READ",), ("UPDATE",)),
                calls=(
                    ("GET", "/v1/api-keys"),
                    ("GET", "/v1/workspaces"),
                    ("PATCH", "/v1/api-keys/5"),
                ),
            ),
        ),
        DemoKey(
            acme,
            "Warehouse scanners",
            ADMIN,
            70,
            {"owner": None, "workspace": production, "scopes": ["orders:read", "shipments:write"]},
            later=(
                (1.4, by(ADMIN, services.rotate_key, overlap=timedelta(days=7), quiet_hours=48)),
            ),
            traffic=Traffic(
                820, weekend=0.5, addresses=("203.0.113.131",), user_agent="scanner/5.1"
            ),
        ),
        DemoKey(
            acme,
            "Kiosk terminals",
            ADMIN,
            38,
            {
                "owner": None,
                "workspace": production,
                "scopes": ["orders:read"],
                "assign_server_ips": True,
            },
            traffic=Traffic(
                340,
                weekend=1.4,
                addresses=("203.0.113.18",),
                scopes=(("orders:read",),),
                refusals={Code.FORBIDDEN_ADDRESS: 2.5},
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
                STEADY,
                weekend=1.2,
                addresses=("198.51.100.154",),
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
            later=((12, by(ADMIN, services.disable_key)),),
            traffic=Traffic(35, weekend=0, stopped=(12, Code.DISABLED)),
        ),
        DemoKey(
            acme,
            "Data science notebook",
            DEVELOPER,
            29,
            {"scopes": ["READ"], "description": "Reads orders for the weekly forecast."},
            later=(
                (3, by(STAFF, services.lock_key, reason="Its secret stands in a public notebook.")),
            ),
            traffic=Traffic(150, addresses=("198.51.100.201",), stopped=(3, Code.LOCKED)),
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
            later=((20, by(OWNER, services.revoke_key)),),
            traffic=Traffic(
                200, NIGHTLY, weekend=1, user_agent="Java/1.8", stopped=(20, Code.REVOKED)
            ),
        ),
        DemoKey(
            acme,
            "Game servers",
            ADMIN,
            41,
            {"owner": None, "dialect": "i3d", "workspace": production, "scopes": ["READ"]},
            traffic=Traffic(110, STEADY, weekend=1.3, user_agent="i3d-sdk-php/1.0"),
        ),
        DemoKey(
            acme,
            "Flow collector",
            ADMIN,
            36,
            {"owner": None, "dialect": "netography", "workspace": production, "scopes": ["READ"]},
            traffic=Traffic(70, STEADY, weekend=1, addresses=("203.0.113.40",)),
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
            traffic=Traffic(45, addresses=("198.51.100.12",), user_agent="XyraPanel/1.2"),
        ),
        DemoKey(acme, "Grafana dashboard", DEVELOPER, 25, {"scopes": ["READ"]}),
        DemoKey(
            acme,
            "Quarterly report",
            OWNER,
            83,
            {"scopes": ["READ", "MANAGE"], "workspace": production},
            traffic=Traffic(
                8,
                cost=Decimal(0),
                until=26,
                door=Decision.Door.API,
                scopes=(("READ", "MANAGE"),),
                calls=(("GET", "/v1/api-keys"), ("GET", "/v1/members")),
            ),
        ),
        DemoKey(
            acme,
            "Data warehouse sync",
            FORMER,
            60,
            {"scopes": ["READ"], "expires_at": now + timedelta(days=40)},
            later=((16, _leave),),
            traffic=Traffic(
                130, NIGHTLY, weekend=1, user_agent="airbyte/1.4", stopped=(16, Code.OWNER_GONE)
            ),
        ),
        DemoKey(
            acme,
            "Intranet search",
            OWNER,
            395,
            {"scopes": ["READ"], "description": "The old search box; the new one needs no key."},
            traffic=Traffic(24, user_agent="nutch/1.19", until=118),
        ),
    ]


def other_keys(other: Organization) -> list[DemoKey]:
    """Return the keys of the second organization."""
    return [
        DemoKey(
            other,
            "Fleet tracking",
            STRANGER,
            50,
            {"owner": None, "scopes": ["READ", "MANAGE"]},
            traffic=Traffic(300, STEADY, weekend=0.8, addresses=("192.0.2.140",)),
        ),
        DemoKey(other, "Test bench", STRANGER, 12, {"scopes": ["READ"]}),
    ]
