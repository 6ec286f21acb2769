"""The checks of hygiene in words."""

from dataclasses import dataclass
from typing import Any

from django import template
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

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
    return str(wording.counted % count) if count else str(wording.none)


@register.simple_tag
def lost_scopes(change: Narrow, key: APIKey) -> list[str]:
    """Return the scopes that a key loses by a change that looked at it."""
    return change.unused[key.pk]
