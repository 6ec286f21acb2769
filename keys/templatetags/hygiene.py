"""The checks of hygiene in words."""

from dataclasses import dataclass
from typing import Any

from django import template
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _

from keys.hygiene import MOST_COUNTED, MOST_LOOKED_AT, OfOldest
from keys.models import APIKey
from keys.services.narrowing import Narrow

register = template.Library()


@dataclass(frozen=True)
class Wording:
    """How people speak of a check: its title, how many keys fail it, and that none does."""

    title: str | Promise
    counted: Any
    none: str | Promise


WORDINGS = {
    "found": Wording(
        _("Found by somebody"),
        ngettext_lazy("%d key was found and handed in", "%d keys were found and handed in"),
        _("No key that was found is left to look after"),
    ),
    "owner_gone": Wording(
        _("Owner left"),
        ngettext_lazy("%d key belongs to somebody who left", "%d keys belong to somebody who left"),
        _("No key belongs to somebody who left"),
    ),
    "expiring": Wording(
        _("Expiring soon"),
        ngettext_lazy("%d key expires within 14 days", "%d keys expire within 14 days"),
        _("No key expires within 14 days"),
    ),
    "breaks_policy": Wording(
        _("Against policy"),
        ngettext_lazy("%d key breaks a rule of your policy", "%d keys break a rule of your policy"),
        _("No key breaks a rule of your policy"),
    ),
    "older_than_policy": Wording(
        _("Old secrets"),
        ngettext_lazy(
            "%d key has a secret older than your policy allows",
            "%d keys have secrets older than your policy allows",
        ),
        _("No secret is older than your policy allows"),
    ),
    "over_scoped": Wording(
        _("Unused scopes"),
        ngettext_lazy(
            "%d key holds scopes that it does not use",
            "%d keys hold scopes that they do not use",
        ),
        _("No key holds scopes that it does not use"),
    ),
    "idle": Wording(
        _("Idle"),
        ngettext_lazy("%d key was not used for 90 days", "%d keys were not used for 90 days"),
        _("No key was idle for 90 days"),
    ),
    "never_expires": Wording(
        _("Never expires"),
        ngettext_lazy("%d key never expires", "%d keys never expire"),
        _("Every key has an end"),
    ),
    "no_ip_list": Wording(
        _("Usable from anywhere"),
        ngettext_lazy("%d key works from any address", "%d keys work from any address"),
        _("Every key is confined to addresses"),
    ),
}


@register.filter
def check_title(check: str) -> str:
    """Return what a check is called."""
    return str(WORDINGS[check].title)


@register.filter
def check_count(check: str, count: int) -> str:
    """Say how many keys fail a check."""
    wording = WORDINGS[check]
    if not count:
        return _of_oldest(str(wording.none)) if isinstance(count, OfOldest) else str(wording.none)
    words = str(wording.counted % min(count, MOST_COUNTED))
    if count > MOST_COUNTED:
        words = words.replace(str(MOST_COUNTED), counted_keys(count))
    return _of_oldest(words) if isinstance(count, OfOldest) else words


@register.filter
def counted_keys(number: int) -> str:
    """Return a count that stops at MOST_COUNTED in digits: `7`, `10,000+`."""
    shown = number_format(min(number, MOST_COUNTED), force_grouping=True)
    return f"{shown}+" if number > MOST_COUNTED else shown


def _of_oldest(words: str) -> str:
    return gettext("%(found)s, of the %(number)s oldest") % {
        "found": words,
        "number": number_format(MOST_LOOKED_AT, force_grouping=True),
    }


@register.simple_tag
def lost_scopes(change: Narrow, key: APIKey) -> list[str]:
    """Return the scopes that a key loses by a change that looked at it."""
    return change.unused[key.pk]
