"""One value of a file: text of a cell or JSON, made what a key has. Raises TroubleError."""

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils.translation import gettext as _

from keys.moves.candidates import TroubleError

_TRUE = frozenset({"true", "yes", "1", "t", "on", "y"})
_FALSE = frozenset({"false", "no", "0", "f", "off", "n", ""})
# Moments as numbers are seconds; from here on, milliseconds: the year 5138 in the former.
_MILLISECONDS_FROM = 10**11
_MOST_DIGITS = 30


def is_nothing(value: Any) -> bool:
    """Say whether the file leaves the value out."""
    return value is None or value == "" or (isinstance(value, str) and value.strip() == "")


def text(field: str, value: Any) -> str:
    """Return a value as text."""
    match value:
        case str():
            return value
        case bool() | int():
            return str(value)
    raise TroubleError(field, _("This is no text."), _("Write it as text."))


def flag(field: str, value: Any) -> bool:
    """Return yes or no."""
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise TroubleError(field, _("This is neither yes nor no."), _("Write true or false."))


def moment(field: str, value: Any) -> datetime:
    """Return a moment: ISO 8601 with a zone, or UTC where none is said; or a UNIX time."""
    found = _as_unix_time(value)
    try:
        if found is not None:
            return datetime.fromtimestamp(found, UTC)
        parsed = datetime.fromisoformat(text(field, value).strip())
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        raise TroubleError(
            field, _("This is no moment."), _("Write it as 2030-01-31T12:00:00Z.")
        ) from None


def amount(field: str, value: Any) -> Decimal:
    """Return an amount, zero or more."""
    try:
        if isinstance(value, bool) or len(str(value)) > _MOST_DIGITS:
            raise InvalidOperation
        found = Decimal(str(value).strip())
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or found < 0 or abs(found.adjusted()) > _MOST_DIGITS:
        raise TroubleError(
            field, _("This is no amount."), _("Write a number such as 25 or 2.50, zero or more.")
        )
    return found


def count(field: str, value: Any) -> int:
    """Return a whole number, zero or more, that the database holds."""
    found = amount(field, value)
    if found != found.to_integral_value() or found >= 2**63:
        raise TroubleError(field, _("This is no whole number."), _("Write a number such as 25."))
    return int(found)


def words(field: str, value: Any) -> tuple[str, ...]:
    """Return a list of words: a JSON list, or words divided by spaces or commas."""
    value = listed(field, value)
    if isinstance(value, str):
        return tuple(value.replace(",", " ").split())
    if isinstance(value, dict):
        raise TroubleError(field, _("This is no list of words."), _("Divide them by spaces."))
    return tuple(text(field, each) for each in value)


def networks(field: str, value: Any, *, deny: bool = False) -> list[dict[str, Any]]:
    """Return networks: words, or objects {network, deny, comment, active}."""
    rows = []
    for each in _entries(field, value):
        if isinstance(each, dict):
            row = {
                "network": text(field, each.get("network", "")),
                "deny": flag(field, each.get("deny", deny)),
                "comment": text(field, each.get("comment") or ""),
                "active": flag(field, each.get("active", True)),
            }
        else:
            row = {"network": text(field, each), "deny": deny, "comment": "", "active": True}
        rows.append(row)
    return rows


def rate_limits(field: str, value: Any) -> list[dict[str, Any]]:
    """Return rate limits: words such as 100/minute."""
    rows = []
    for each in words(field, value):
        number, _slash, period = each.partition("/")
        if not number.isdecimal() or not period or len(number) > _MOST_DIGITS:
            raise TroubleError(field, _("This is no rate limit."), _("Write it as 100/minute."))
        rows.append({"amount": int(number), "period": period})
    return rows


def mapping(field: str, value: Any) -> dict[str, Any]:
    """Return an object: of JSON, or its text in a cell."""
    value = listed(field, value)
    if not isinstance(value, dict):
        raise TroubleError(field, _("This is no JSON object."), _("Write it as {…}."))
    return value


def mappings(field: str, value: Any) -> list[dict[str, Any]]:
    """Return a list of objects: of JSON, or its text in a cell."""
    value = listed(field, value)
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise TroubleError(field, _("This is no list of JSON objects."), _("Write it as [{…}]."))
    return value


def listed(field: str, value: Any) -> Any:
    """Return what a cell holds as JSON, where it looks like that; else the value itself."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        return parse_json(field, value)
    if isinstance(value, str | list | dict):
        return value
    return text(field, value)


def parse_json(field: str, line: str) -> Any:
    """Return what a text of JSON says; nothing in it is deeper or larger than it should be."""
    try:
        return json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise TroubleError(
            field, _("This is no JSON."), _("Write one JSON object, complete, on one line.")
        ) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _entries(field: str, value: Any) -> Iterable[Any]:
    value = listed(field, value)
    if isinstance(value, dict):
        return [value]
    return words(field, value) if isinstance(value, str) else value


def _as_unix_time(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        # A year alone is none.
        if not value.strip().isdecimal() or not 9 <= len(value.strip()) <= _MOST_DIGITS:
            return None
        value = int(value)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value / 1000 if abs(value) >= _MILLISECONDS_FROM else value
