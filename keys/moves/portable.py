"""A key as a record that another installation, or this one, makes the same key of again."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from keys.foreign import ALPHABETS, WRAPPED, Scheme, Shape
from keys.models import APIKey, ImportedSecret, KeySecret
from keys.models.rates import shortest_first
from keys.moves import values
from keys.moves.candidates import GivenSecret, TroubleError

# What is kept of a secret beside its digest, and of a key's use; how a file's value is read.
SECRET_FACTS: dict[str, Callable[[str, Any], Any]] = {
    "created_at": values.moment,
    "superseded_at": values.moment,
    "retires_at": values.moment,
    "quiet_hours": values.count,
    "revoked_at": values.moment,
    "last_used_at": values.moment,
}
TOTALS: dict[str, Callable[[str, Any], Any]] = {
    "requests": values.count,
    "refused": values.count,
    "cost": values.amount,
    "byok_cost": values.amount,
    "period_start": values.moment,
    "period_cost": values.amount,
    "last_used_at": values.moment,
    "last_address": values.text,
    "last_user_agent": values.text,
    "last_login_at": values.moment,
    "last_login_address": values.text,
}


def record_of(key: APIKey, now: datetime) -> dict[str, Any]:
    """Return all that is known of a key but its secrets, as JSON takes it.

    `key` was loaded with its details. What a role gives is not listed as scopes.
    """
    return {
        "identifier": key.identifier,
        "hash": key.hash,
        "name": key.name,
        "short_name": key.slug,
        "description": key.description,
        "status": key.status_at(now).value,
        "workspace": key.workspace.name,
        "owner": key.owner.email if key.owner else None,
        "external_user": key.external_user,
        "format": key.dialect,
        "role": key.role.name if key.role else None,
        "scopes": [] if key.role else sorted(key.scope_codes),
        "created_at": _plain(key.created_at),
        "not_before": _plain(key.not_before),
        "expires_at": _plain(key.expires_at),
        "disabled": key.disabled,
        "locked_at": _plain(key.locked_at),
        "lock_reason": key.lock_reason,
        "revoked_at": _plain(key.revoked_at),
        "limit": _plain(key.limit),
        "limit_reset": key.limit_reset,
        "include_byok_in_limit": key.include_byok_in_limit,
        "rate_limits": [str(row) for row in shortest_first(key.rate_limits.all())],
        "server_addresses": key.assign_server_ips,
        "networks": networks_of(key),
        "usage": usage_of(key),
    }


def networks_of(key: APIKey) -> list[dict[str, Any]]:
    """Return every row of the key's list of addresses, those that are switched off as well."""
    return [
        {"network": row.network, "deny": row.deny, "comment": row.comment, "active": row.active}
        for row in key.allowed_ips.all()
    ]


def usage_of(key: APIKey) -> dict[str, Any]:
    """Return the key's running totals, without what is zero or unknown."""
    found = {name: _plain(getattr(key.totals, name)) for name in TOTALS}
    return {name: value for name, value in found.items() if value not in (None, 0, "0", "")}


def secrets_of(key: APIKey, fingerprints: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return what is stored of the key's secrets, the oldest first.

    `fingerprints` tells the peppers of this installation apart, by their numbers. Without the
    pepper itself the digests verify nothing.
    """
    return [_secret(row, fingerprints) for row in sorted(key.secrets.all(), key=lambda row: row.pk)]


def read_secrets(value: Any) -> list[GivenSecret]:
    """Return the secrets of a record, the oldest first. Raises TroubleError."""
    given = [_read(entry) for entry in values.mappings("secrets", value)]
    if not given:
        raise TroubleError(
            "secrets",
            _("This key has no secret in the file."),
            _("Export with --with-digests, or rotate the key and add its secret."),
        )
    return given


def _secret(row: KeySecret, fingerprints: Mapping[int, str]) -> dict[str, Any]:
    facts = {name: _plain(getattr(row, name)) for name in SECRET_FACTS}
    record = {
        "label": row.label,
        "digest": row.digest,
        "pepper": fingerprints.get(row.pepper_id),
        **{name: value for name, value in facts.items() if value is not None},
    }
    imported: ImportedSecret | None = getattr(row, "imported", None)
    if imported is not None:
        shape = imported.format.shape
        record |= {
            "scheme": shape.scheme.value,
            "shape": [shape.prefix, shape.alphabet, shape.shortest, shape.longest],
            "is_wrapped": row.pepper_id == WRAPPED,
            "origin": imported.digest,
        }
        if row.pepper_id == WRAPPED:
            record["pepper"] = fingerprints.get(imported.pepper_id)
        elif row.pepper_id != imported.pepper_id:
            # Nothing would find it by a digest of another pepper than the secret's own.
            record["origin"] = None
    return record


def _read(entry: Mapping[str, Any]) -> GivenSecret:
    stored = values.text("secrets", entry.get("digest") or "")
    origin = values.text("secrets", entry.get("origin") or "")
    pepper = values.text("secrets", entry.get("pepper") or "")
    if not _is_digest(stored) or (origin and not _is_digest(origin)) or not pepper:
        raise TroubleError(
            "secrets", _("The digest of a secret is missing."), _("Export with --with-digests.")
        )
    shape = _read_shape(entry) if entry.get("scheme") else None
    return GivenSecret(
        label=values.text("secrets", entry.get("label") or "imported"),
        scheme=shape.scheme if shape else None,
        shape=shape,
        stored=stored,
        stored_origin=origin or None,
        pepper=pepper,
        is_wrapped=bool(entry.get("is_wrapped")) and shape is not None,
        facts={
            name: reader("secrets", entry[name])
            for name, reader in SECRET_FACTS.items()
            if entry.get(name) is not None
        },
    )


def _read_shape(entry: Mapping[str, Any]) -> Shape:
    try:
        prefix, alphabet, shortest, longest = entry["shape"]
        shape = Shape(Scheme(entry["scheme"]), prefix, alphabet, shortest, longest)
        if alphabet in ALPHABETS and len(prefix) <= 44 and 1 <= shortest <= longest <= 512:
            return shape
    except (KeyError, TypeError, ValueError):
        pass
    raise TroubleError(
        "secrets", _("Nothing says how this imported secret looks."), _("Export the key again.")
    )


def _is_digest(text: str) -> bool:
    return len(text) == 64 and not text.strip("0123456789abcdef")


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat()
        case Decimal():
            return f"{value:f}"
    return value
