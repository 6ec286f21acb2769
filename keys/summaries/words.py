"""Addresses, moments and amounts inside a sentence."""

from datetime import datetime
from decimal import Decimal

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, ngettext_lazy

from keys.models.rates import Period

_RATES = {
    Period.SECOND: ngettext_lazy(
        "%(amount)s request a second", "%(amount)s requests a second", "count"
    ),
    Period.MINUTE: ngettext_lazy(
        "%(amount)s request a minute", "%(amount)s requests a minute", "count"
    ),
    Period.HOUR: ngettext_lazy(
        "%(amount)s request an hour", "%(amount)s requests an hour", "count"
    ),
    Period.DAY: ngettext_lazy("%(amount)s request a day", "%(amount)s requests a day", "count"),
}

# A sentence names so many addresses, and counts them beyond.
_NAMED = 3


def listed(addresses: tuple[str, ...]) -> str:
    """Return the first few addresses, and how many more there are."""
    named, rest = ", ".join(addresses[:_NAMED]), len(addresses) - _NAMED
    if rest <= 0:
        return named
    return ngettext("%(named)s and %(count)d more", "%(named)s and %(count)d more", rest) % {
        "named": named,
        "count": rest,
    }


def rates_in_words(rates: tuple[tuple[int, str], ...]) -> str:
    """Return rates, each (requests, period), joined in words."""
    words = [rate_in_words(*rate) for rate in rates]
    if len(words) < 2:
        return "".join(words)
    return _("%(first)s and %(last)s") % {"first": ", ".join(words[:-1]), "last": words[-1]}


def rate_in_words(requests: int, period: str) -> str:
    """Return how many requests in which time."""
    amount = number_format(requests, force_grouping=True)
    return _RATES[Period(period)] % {"count": requests, "amount": amount}


def day(moment: datetime) -> str:
    """Return the date of a moment."""
    return date_format(timezone.localtime(moment), "DATE_FORMAT")


def moment_of(moment: datetime) -> str:
    """Return a moment to the minute, with its zone."""
    return date_format(timezone.localtime(moment), "DATETIME_FORMAT")


def amount_of(amount: Decimal) -> str:
    """Return a number of credits, in groups of three digits."""
    return number_format(f"{amount.normalize():f}", force_grouping=True)


def plural_number(amount: Decimal) -> int:
    """Return the number by which to choose among plural forms; fractions take the plural."""
    return int(amount) if amount == int(amount) else 2
