"""What each system calls the facts of a key.

Names are compared without case, spaces, hyphens and underscores: `expiresAt` is `expires_at`.
Our own names count in every format, so that a column can be added by hand.
"""

import re
from collections.abc import Mapping
from enum import StrEnum

from django.utils.translation import gettext_lazy as _


class Format(StrEnum):
    """Whose file it is."""

    NATIVE = "native"
    DRF_API_KEY = "drf-api-key"
    KNOX = "knox"
    NETBOX = "netbox"
    UNKEY = "unkey"
    BETTER_AUTH = "better-auth"
    PLAIN = "plain"


LABELS = {
    Format.NATIVE: _("Keyhaven (an export of this portal or another)"),
    Format.DRF_API_KEY: "djangorestframework-api-key",
    Format.KNOX: "django-rest-knox",
    Format.NETBOX: _("NetBox (tokens of version 2)"),
    Format.UNKEY: "Unkey",
    Format.BETTER_AUTH: "Better Auth",
    Format.PLAIN: _("The secrets themselves"),
}

# What every file may say, by our names.
COMMON = frozenset(
    {
        *("name", "secret", "digest", "start", "owner", "workspace", "external_user", "role"),
        *("scopes", "description", "not_before", "expires_at", "disabled", "enabled"),
        *("revoked", "revoked_at", "created_at", "last_used_at", "limit", "limit_reset"),
        *("limit_remaining", "include_byok_in_limit", "server_addresses", "rate_limits"),
        *("allowed_ips", "denied_ips", "short_name", "format"),
    }
)
_NATIVE_ALONE = frozenset(
    {
        *("identifier", "hash", "status", "networks", "usage", "secrets", "lock_reason"),
        *("locked_at", "last_address", "accepted_requests", "refused_requests"),
    }
)
# Their name -> ours.
_THEIRS: dict[Format, dict[str, str]] = {
    Format.NATIVE: {},
    Format.DRF_API_KEY: {
        "hashed_key": "digest",
        "prefix": "start",
        "created": "created_at",
        "expiry_date": "expires_at",
    },
    Format.KNOX: {
        "token_key": "start",
        "user": "owner",
        "created": "created_at",
        "expiry": "expires_at",
    },
    Format.NETBOX: {
        "key": "start",
        "hmac_digest": "digest",
        "pepper": "pepper_id",
        "pepper_id": "pepper_id",
        "user": "owner",
        "created": "created_at",
        "expires": "expires_at",
        "last_used": "last_used_at",
        "write_enabled": "write_enabled",
        "version": "version",
    },
    Format.UNKEY: {
        "hash": "digest",
        "plaintext": "secret",
        "external_id": "external_user",
        "owner_id": "external_user",
        "expires": "expires_at",
        "remaining": "limit_remaining",
        "refill": "refill",
    },
    Format.BETTER_AUTH: {
        "key": "digest",
        "prefix": "prefix",
        "user_id": "external_user",
        "reference_id": "external_user",
        "remaining": "limit_remaining",
        "last_request": "last_used_at",
    },
    Format.PLAIN: {"key": "secret", "token": "secret"},
}
# A column that is mapped to this is not read.
NOTHING = "-"

_DIVIDING = re.compile(r"[\s_-]+")


class ColumnError(ValueError):
    """A column was mapped to what is no fact of a key."""


class Columns:
    """From the names of a file to ours."""

    def __init__(self, file_format: Format, mapped: Mapping[str, str] | None = None) -> None:
        """`mapped` is {their name: ours}, and counts before what the format says."""
        ours = COMMON | (_NATIVE_ALONE if file_format is Format.NATIVE else frozenset())
        theirs = _THEIRS[file_format]
        self._names = {_plain(name): name for name in ours}
        self._names |= {_plain(name): target for name, target in theirs.items()}
        known = ours | set(theirs.values()) | {NOTHING}
        for name, target in (mapped or {}).items():
            if target not in known:
                raise ColumnError(target)
            self._names[_plain(name)] = target
        self._found: dict[str, str] = {}

    def of(self, name: str) -> str:
        """Return our name of a column; of one that is not read, NOTHING."""
        found = self._found.get(name)
        if found is None:
            found = self._names.get(_plain(name), NOTHING)
            if len(self._found) < 1000:
                self._found[name] = found
        return found

    @property
    def unread(self) -> list[str]:
        """The columns that were met and not read."""
        return sorted(name for name, ours in self._found.items() if name and ours == NOTHING)


def _plain(name: str) -> str:
    return _DIVIDING.sub("", name).lower()
