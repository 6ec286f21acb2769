"""The list of keys as a table for spreadsheets and scripts."""

import json
from array import array
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from keys import exporting, services, spreadsheets, standby
from keys.filters import KeyListFilter
from keys.models import APIKey
from keys.models.rates import shortest_first
from keys.moves.portable import networks_of, record_of, usage_of
from keys.views.base import OrganizationRequest, in_organization, visible_keys

CHUNK = 500

COLUMNS = (
    *("identifier", "number", "name", "short_name", "label", "status", "workspace", "owner"),
    *("format", "role", "scopes", "allowed_ips", "denied_ips", "server_addresses"),
    *("created_at", "not_before", "expires_at", "revoked_at", "last_used_at", "last_address"),
    *("accepted_requests", "refused_requests", "limit", "limit_reset", "limit_remaining"),
    *("rate_limits", "description"),
    # What takes an importer more than that.
    *("hash", "disabled", "locked_at", "lock_reason", "external_user", "include_byok_in_limit"),
    *("networks", "usage"),
)


@require_GET
@in_organization
def key_export(request: OrganizationRequest) -> HttpResponse:
    """All keys that the list would show for this filter, as CSV in UTF-8; never a secret.

    One row a key, in the order of the list. Moments are ISO 8601 in UTC, what is unknown
    or does not apply is empty, lists are separated by spaces. The columns, named alike in
    every language:

    - identifier, number: its names at the API; name, short_name, description: for people
    - label: the mask of its newest secret
    - status: active, pending, expired, disabled, locked or revoked
    - workspace: its name; owner: an email address, empty when it is the organization's
    - format: the dialect of its secrets; role: the one that it follows; scopes: what it
      was given, through the role too
    - allowed_ips, denied_ips: the networks in force; server_addresses: yes or no, whether
      it follows the organization's
    - created_at, not_before, expires_at, revoked_at, last_used_at, last_address
    - accepted_requests, refused_requests: ever
    - limit, limit_reset (daily, weekly, monthly), limit_remaining: of the current period
    - rate_limits: its own, such as 100/minute
    - hash, disabled, locked_at, lock_reason, external_user, include_byok_in_limit; as JSON its
      networks, those not in force as well, and its usage

    With `?as=jsonl` one JSON object a line, as `export_keys` writes it. Both can be imported
    again, once each key's secret, or what is stored of it, was added.
    """
    filters = KeyListFilter(
        request.GET, queryset=visible_keys(request).with_details(), request=request
    )
    now = timezone.now()
    services.note_export(
        actor=request.user,
        organization=request.organization,
        count=filters.qs.count(),
        filters=filters.asked_for,
    )
    name = f"{request.organization.slug}-api-keys-{now:%Y-%m-%d}"
    if request.GET.get("as") == "jsonl":
        records = standby.rows(lambda: (record_of(key, now) for key in _all_keys(filters)))
        return _answer_lines(name, exporting.lines(records, "jsonl"))
    rows = standby.rows(lambda: (_row(key, now) for key in _all_keys(filters)))
    return spreadsheets.answer(name, COLUMNS, rows)


def _answer_lines(name: str, lines: Iterator[str]) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        lines,
        content_type="application/jsonl; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}.jsonl"',
            "Cache-Control": "no-store",
        },
    )


def _all_keys(filters: KeyListFilter) -> Iterator[APIKey]:
    """Yield the keys of the list by the chunk: however many there are, few are in memory.

    Which they are is found first, in eight bytes each: what changes meanwhile may leave the list
    or stand elsewhere in it, and none of that shows a key twice or hides another.
    """
    ordered = filters.chosen_ordering.sort(filters.qs).values_list("pk", flat=True)
    numbers = array("q", ordered.iterator(chunk_size=10 * CHUNK))
    for start in range(0, len(numbers), CHUNK):
        chunk = numbers[start : start + CHUNK].tolist()
        found = filters.qs.order_by().in_bulk(chunk)
        yield from (found[number] for number in chunk if number in found)


def _row(key: APIKey, now: datetime) -> list[Any]:
    networks = [(row.network, row.deny) for row in key.allowed_ips.all() if row.active]
    return [
        key.identifier,
        key.pk,
        key.name,
        key.slug,
        key.label,
        key.status_at(now).value,
        key.workspace.name,
        key.owner.email if key.owner else None,
        key.dialect,
        key.role.name if key.role else None,
        " ".join(key.scope_codes),
        " ".join(network for network, deny in networks if not deny),
        " ".join(network for network, deny in networks if deny),
        "yes" if key.assign_server_ips else "no",
        key.created_at,
        key.not_before,
        key.expires_at,
        key.revoked_at,
        key.totals.last_used_at,
        key.totals.last_address,
        key.totals.requests,
        key.totals.refused,
        _amount(key.limit),
        key.limit_reset,
        _amount(key.remaining_at(now)),
        " ".join(map(str, shortest_first(key.rate_limits.all()))),
        key.description,
        key.hash,
        "yes" if key.disabled else "no",
        key.locked_at,
        key.lock_reason,
        key.external_user,
        "yes" if key.include_byok_in_limit else "no",
        json.dumps(networks_of(key), ensure_ascii=False),
        json.dumps(usage_of(key), ensure_ascii=False),
    ]


def _amount(amount: Any) -> str | None:
    return None if amount is None else f"{amount:f}"
