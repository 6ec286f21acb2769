"""All keys of a list as records or lines of a file, however many there are."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from keys import secrets, spreadsheets
from keys.models import APIKey
from keys.moves import portable

_CHUNK = 500
# Values of these are JSON in a cell of CSV.
_COLUMNS = (
    *("identifier", "hash", "name", "short_name", "description", "status", "workspace", "owner"),
    *("external_user", "format", "role", "scopes", "created_at", "not_before", "expires_at"),
    *("disabled", "locked_at", "lock_reason", "revoked_at", "limit", "limit_reset"),
    *("include_byok_in_limit", "rate_limits", "server_addresses", "networks", "usage", "secrets"),
)


def records(keys: QuerySet[APIKey], *, with_digests: bool) -> Iterator[dict[str, Any]]:
    """Yield a record of each key, the oldest first; few of them are in memory at a time.

    `with_digests` is for the operator alone.
    """
    now = timezone.now()
    fingerprints = {
        number: secrets.fingerprint(pepper) for number, pepper in settings.KEY_PEPPERS.items()
    }
    for key in _all(keys, with_digests):
        record = portable.record_of(key, now)
        if with_digests:
            record["secrets"] = portable.secrets_of(key, fingerprints)
        yield record


def lines(found: Iterable[dict[str, Any]], file_format: str) -> Iterator[str]:
    """Yield the lines of a file: `jsonl` or `csv`."""
    if file_format == "csv":
        rows = ([_cell(record.get(name)) for name in _COLUMNS] for record in found)
        yield from spreadsheets.lines(_COLUMNS, rows)
        return
    for record in found:
        yield json.dumps(record, ensure_ascii=False) + "\n"


def _all(keys: QuerySet[APIKey], with_digests: bool) -> Iterator[APIKey]:
    """Yield keys by the chunk, each by where the last one ended."""
    found = keys.with_details().order_by("pk")  # type: ignore[attr-defined]
    if with_digests:
        found = found.prefetch_related("secrets__imported__format")
    last = 0
    while chunk := list(found.filter(pk__gt=last)[:_CHUNK]):
        yield from chunk
        last = chunk[-1].pk


def _cell(value: Any) -> Any:
    match value:
        case list() if all(isinstance(each, str) for each in value):
            return " ".join(value)
        case list() | dict():
            return json.dumps(value, ensure_ascii=False)
        case bool():
            return "yes" if value else "no"
    return value
