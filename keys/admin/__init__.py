"""The staff door: what staff of the installation see and do, through policy and services.

Keys are looked at, locked, unlocked and revoked here; people issue and change them on
the pages, so that no secret ever passes through this door.
"""

from keys.admin import (
    api_keys,
    approvals,
    audit_events,
    decisions,
    invitations,
    organizations,
    people,
    roles,
)

__all__ = [
    "api_keys",
    "approvals",
    "audit_events",
    "decisions",
    "invitations",
    "organizations",
    "people",
    "roles",
]
