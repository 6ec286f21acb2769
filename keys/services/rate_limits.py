"""How often keys, and all keys of an organization together, may be used: the rows that say so."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.translation import gettext as _

from keys import policy, rates
from keys.models import APIKey, Organization, RateLimit
from keys.models.rates import shortest_first
from keys.policy import Actor
from keys.rates import Rate, StoreAwayError, Window
from keys.roles import Permission

MAX_AMOUNT = 10**9

# {amount, period}, the latter a Period.
RateEntry = Mapping[str, Any]


def build_rate_limits(
    owner: APIKey | Organization, entries: Iterable[RateEntry]
) -> list[RateLimit]:
    """Return validated rows of a key or an organization, unsaved, the shortest period first.

    Raises ValidationError for `rate_limits`, whose params name the `index` at fault.
    """
    rows: dict[str, RateLimit] = {}
    for index, entry in enumerate(entries):
        row = _build(owner, entry, index)
        if row.period in rows:
            raise _problem(_("Give one rate limit for a period, not several."), index)
        rows[row.period] = row
    return shortest_first(rows.values())


def replace_rate_limits(owner: APIKey | Organization, entries: Iterable[RateEntry]) -> None:
    """Make these the only rate limits of a key or an organization; what stays keeps its row."""
    wanted = {row.period: row for row in build_rate_limits(owner, entries)}
    for row in owner.rate_limits.all():
        replacement = wanted.pop(row.period, None)
        if replacement is None:
            row.delete()
        elif row.amount != replacement.amount:
            row.amount = replacement.amount
            row.save(update_fields=["amount"])
    RateLimit.objects.bulk_create(wanted.values())


def describe_rate_limits(owner: APIKey | Organization) -> list[str]:
    """Return the rate limits as the audit trail records them, such as `100/minute`."""
    return [str(row) for row in shortest_first(owner.rate_limits.all())]


def rates_of(key: APIKey) -> list[Rate]:
    """Return what bounds a verification of the key: its own rates, then its organization's."""
    rows = RateLimit.objects.filter(Q(key=key) | Q(organization=key.organization_id))
    bounds = [
        Rate(rates.KEY, key.pk, row.amount, row.period)
        if row.key_id
        else Rate(rates.ORGANIZATION, key.organization_id, row.amount, row.period)
        for row in rows
    ]
    return sorted(bounds, key=lambda rate: (rate.owner, rate.seconds))


def look_at_rates(*, actor: Actor, key: APIKey) -> tuple[list[Rate], tuple[Window, ...] | None]:
    """Return the key's rates, and how much is left of each; None while nothing can count them.

    Looking counts nothing. Raises PermissionDenied.
    """
    policy.require(actor, Permission.VIEW_APIKEY, key)
    bounds = rates_of(key)
    try:
        return bounds, rates.look(bounds)
    except StoreAwayError:
        return bounds, None


def _build(owner: APIKey | Organization, entry: RateEntry, index: int) -> RateLimit:
    row = RateLimit(**_belonging_to(owner), **entry)
    try:
        row.clean_fields(exclude=["key", "organization"])
    except ValidationError as error:
        raise _problem(error.messages[0], index) from None
    if row.amount > MAX_AMOUNT:
        raise _problem(_("At most %(max)d requests.") % {"max": MAX_AMOUNT}, index)
    return row


def _belonging_to(owner: APIKey | Organization) -> dict[str, Any]:
    return {"key" if isinstance(owner, APIKey) else "organization": owner}


def _problem(message: str, index: int) -> ValidationError:
    # Not as the message itself: what was sent may hold a percent sign.
    problem = ValidationError(
        "%(problem)s", code="invalid", params={"problem": message, "index": index}
    )
    return ValidationError({"rate_limits": problem})
