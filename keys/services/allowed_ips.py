"""Change where a key may be used from."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from keys import networks
from keys.models import AllowedIP, APIKey
from keys.policy import Actor
from keys.services.changes import changing
from keys.services.validation import refuse_unstorable, save, validate

MAX_ALLOWED_IPS = 1000

# An address or range, or {network, deny?, comment?, active?}.
Entry = str | Mapping[str, Any]


def add_allowed_ip(
    *,
    actor: Actor,
    key: APIKey,
    network: str,
    deny: bool = False,
    comment: str = "",
    active: bool = True,
) -> AllowedIP:
    """Add one address or range to a key's list.

    Raises PermissionDenied, ValidationError by field, APIKey.DoesNotExist.
    """
    with changing(actor, key, ["allowed_ips"]) as key:
        if key.allowed_ips.count() >= MAX_ALLOWED_IPS:
            raise ValidationError({"network": _too_many()})
        row = AllowedIP(
            key=key,
            network=_canonical(network, "network"),
            deny=deny,
            comment=comment,
            active=active,
        )
        validate(row)
        save(row)
    return row


def change_allowed_ip(*, actor: Actor, allowed_ip: AllowedIP, **changes: Any) -> AllowedIP:
    """Change `network`, `deny`, `comment` or `active` of one row. Raises as add_allowed_ip."""
    unknown = changes.keys() - {"network", "deny", "comment", "active"}
    if unknown:
        raise TypeError(f"An allowed IP has no changeable {', '.join(sorted(unknown))}.")
    with changing(actor, allowed_ip.key, ["allowed_ips"]) as key:
        row = key.allowed_ips.get(pk=allowed_ip.pk)
        if "network" in changes:
            changes["network"] = _canonical(changes["network"], "network")
        for field, value in changes.items():
            setattr(row, field, value)
        validate(row)
        save(row, update_fields=[*changes, "updated_at"])
    return row


def remove_allowed_ip(*, actor: Actor, allowed_ip: AllowedIP) -> None:
    """Take one row off a key's list; the last one gone, the key works from anywhere."""
    with changing(actor, allowed_ip.key, ["allowed_ips"]) as key:
        key.allowed_ips.filter(pk=allowed_ip.pk).delete()


def build_allowed_ips(key: APIKey, entries: Iterable[Entry]) -> list[AllowedIP]:
    """Return validated rows for a key's list, unsaved and without duplicates.

    Raises ValidationError for `allowed_ips`, whose params name the `index` at fault.
    """
    rows: dict[tuple[str, bool], AllowedIP] = {}
    for index, entry in enumerate(entries):
        row = _build(key, entry, index)
        rows.setdefault((row.network, row.deny), row)
    if len(rows) > MAX_ALLOWED_IPS:
        raise ValidationError({"allowed_ips": _too_many()})
    return list(rows.values())


def replace_allowed_ips(key: APIKey, entries: Iterable[Entry]) -> None:
    """Make a key's list these entries; rows that stay keep their identity."""
    wanted = {(row.network, row.deny): row for row in build_allowed_ips(key, entries)}
    for row in key.allowed_ips.all():
        replacement = wanted.pop((row.network, row.deny), None)
        if replacement is None:
            row.delete()
        elif (row.comment, row.active) != (replacement.comment, replacement.active):
            row.comment, row.active = replacement.comment, replacement.active
            row.save(update_fields=["comment", "active", "updated_at"])
    AllowedIP.objects.bulk_create(wanted.values())


def _build(key: APIKey, entry: Entry, index: int) -> AllowedIP:
    values: dict[str, Any] = {"network": entry} if isinstance(entry, str) else dict(entry)
    row = AllowedIP(
        key=key,
        network=_canonical(values.get("network", ""), "allowed_ips", index),
        deny=values.get("deny", False),
        comment=values.get("comment") or "",
        active=values.get("active", True),
    )
    try:
        refuse_unstorable(row)
        row.clean_fields(exclude=["key"])
    except ValidationError as error:
        raise ValidationError({"allowed_ips": error.messages}) from None
    return row


def _canonical(text: str, field: str, index: int | None = None) -> str:
    try:
        return networks.canonical_network(text)
    except ValueError as error:
        # Not as the message itself: what was sent may hold a percent sign.
        problem = ValidationError(
            "%(problem)s", code="invalid", params={"problem": str(error), "index": index}
        )
        raise ValidationError({field: problem}) from None


def _too_many() -> str:
    return _("A key has at most %(max)d allowed IPs.") % {"max": MAX_ALLOWED_IPS}
