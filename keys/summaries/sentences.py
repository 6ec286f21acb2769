"""A key in sentences, and what a leak of it would mean."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from keys.models.usage import LimitReset
from keys.roles import GRANTS, BuiltInScope, Permission
from keys.summaries.facts import Facts
from keys.summaries.words import (
    amount_of,
    day,
    listed,
    moment_of,
    plural_number,
    rates_in_words,
)

# What the portal's permissions to delete are about.
_DELETABLE: dict[Permission, str | Promise] = {
    Permission.DELETE_APIKEY: gettext_lazy("API keys"),
    Permission.DELETE_MEMBERSHIP: gettext_lazy("members"),
    Permission.DELETE_ROLE: gettext_lazy("roles"),
    Permission.DELETE_SCOPE: gettext_lazy("scopes"),
    Permission.DELETE_WORKSPACE: gettext_lazy("workspaces"),
}

# Actions of an organization's own scopes that delete what they are about.
_DELETING_ACTIONS = frozenset({"delete", "*"})


class Risk(StrEnum):
    """How far a leak of a key would reach."""

    NARROW = "narrow"
    WIDE = "wide"
    VERY_WIDE = "very-wide"

    @property
    def label(self) -> str:
        return {
            Risk.NARROW: _("Narrow"),
            Risk.WIDE: _("Wide"),
            Risk.VERY_WIDE: _("Very wide"),
        }[self]


@dataclass(frozen=True)
class Summary:
    """A key in sentences: what it can, from where, until when, for how much, and its risk."""

    abilities: list[str]
    origin: list[str]
    period: list[str]
    credit: list[str]
    risk: Risk
    dangers: list[str]
    advice: list[str]


def summarize(facts: Facts, *, now: datetime) -> Summary:
    """Return the key in sentences."""
    return Summary(
        abilities=list(_abilities(facts)),
        origin=list(_origin(facts)),
        period=list(_period(facts, now)),
        credit=[credit(facts), *pace(facts)],
        risk=risk_of(facts),
        dangers=list(_dangers(facts)),
        advice=list(_advice(facts)),
    )


def risk_of(facts: Facts) -> Risk:
    """Say how far a leak would reach: by what the key can change, from where, for how long."""
    is_changing = bool(facts.scopes - {BuiltInScope.READ})
    is_lasting = facts.expires_at is None
    if facts.is_managing:
        return Risk.VERY_WIDE if facts.is_open or is_lasting else Risk.WIDE
    if is_changing and facts.is_open:
        return Risk.VERY_WIDE if is_lasting else Risk.WIDE
    if facts.scopes and facts.is_open and is_lasting:
        return Risk.WIDE
    return Risk.NARROW


def deletable_kinds(facts: Facts) -> list[str]:
    """Return the names of the kinds of things that the key can delete."""
    granted = {
        permission
        for scope in facts.scopes & set(BuiltInScope)
        for permission in GRANTS[BuiltInScope(scope)]
    }
    names = {**_DELETABLE, Permission.DELETE_APIKEY: _keys_in_reach(facts)}
    here = [str(name) for permission, name in names.items() if permission in granted]
    return here + sorted(
        {
            resource
            for resource, _colon, action in (code.rpartition(":") for code in facts.own_scopes)
            if action in _DELETING_ACTIONS
        }
    )


def _keys_in_reach(facts: Facts) -> str | Promise:
    """Return how the keys are called that a key's scopes are about."""
    if facts.is_managing:
        return _DELETABLE[Permission.DELETE_APIKEY]
    if facts.owner is None:
        return _("keys that belong to it itself")
    return _("keys of %(owner)s") % {"owner": facts.owner}


def credit(facts: Facts) -> str:
    """Return in a sentence how much the key may spend."""
    if "limit" in facts.unclear:
        return _("How much it may spend cannot be told yet: look at the limit.")
    if facts.limit is None:
        return _("It may spend without limit.")
    amount, count = amount_of(facts.limit), plural_number(facts.limit)
    match facts.limit_reset:
        case LimitReset.DAILY:
            text = ngettext(
                "It may spend %(amount)s credit a day.",
                "It may spend %(amount)s credits a day.",
                count,
            )
        case LimitReset.WEEKLY:
            text = ngettext(
                "It may spend %(amount)s credit a week.",
                "It may spend %(amount)s credits a week.",
                count,
            )
        case LimitReset.MONTHLY:
            text = ngettext(
                "It may spend %(amount)s credit a month.",
                "It may spend %(amount)s credits a month.",
                count,
            )
        case _:
            text = ngettext(
                "It may spend %(amount)s credit in all.",
                "It may spend %(amount)s credits in all.",
                count,
            )
    return text % {"amount": amount}


def pace(facts: Facts) -> Iterator[str]:
    """Yield in a sentence how often the key may be used; nothing where nothing bounds that."""
    if "rate_limits" in facts.unclear:
        yield _("How often it may be used cannot be told yet: look at the rate limits.")
    elif facts.rates:
        yield _("It may make at most %(rates)s.") % {"rates": rates_in_words(facts.rates)}


# The parts of a summary


def _abilities(facts: Facts) -> Iterator[str]:
    names = {"organization": facts.organization, "owner": facts.owner}
    if facts.is_managing:
        yield (
            _(
                "It can manage all of %(organization)s: every key, its people, roles, scopes, "
                "workspaces and settings."
            )
            % names
        )
    else:
        sentences = _ABILITIES_OF_A_PERSON if facts.owner else _ABILITIES_OF_THE_ORGANIZATION
        for scope, sentence in sentences.items():
            if scope in facts.scopes and (scope != BuiltInScope.CREATE or facts.is_issuing):
                yield str(sentence) % names
    own = facts.own_scopes
    if own:
        yield ngettext(
            "It carries %(codes)s, which means what your services make of it.",
            "It carries %(codes)s, which mean what your services make of them.",
            len(own),
        ) % {"codes": ", ".join(own)}
    if not facts.scopes:
        yield _("It can prove who calls, and do nothing else here.")
    if facts.role:
        yield _("It follows the role %(role)s: when that changes, so does the key.") % {
            "role": facts.role
        }


_ABILITIES_OF_A_PERSON = {
    BuiltInScope.READ: gettext_lazy(
        "It can read the keys of %(owner)s in %(organization)s, and ask whether a key is good."
    ),
    BuiltInScope.CREATE: gettext_lazy("It can issue keys in the name of %(owner)s."),
    BuiltInScope.UPDATE: gettext_lazy("It can change, disable and rotate the keys of %(owner)s."),
    BuiltInScope.DELETE: gettext_lazy("It can revoke the keys of %(owner)s."),
}

_ABILITIES_OF_THE_ORGANIZATION = {
    BuiltInScope.READ: gettext_lazy(
        "It can read the keys that belong to %(organization)s itself, and ask whether a key is "
        "good."
    ),
    BuiltInScope.CREATE: gettext_lazy("It can issue keys that belong to %(organization)s."),
    BuiltInScope.UPDATE: gettext_lazy(
        "It can change, disable and rotate the keys that belong to %(organization)s itself."
    ),
    BuiltInScope.DELETE: gettext_lazy(
        "It can revoke the keys that belong to %(organization)s itself."
    ),
}


def _origin(facts: Facts) -> Iterator[str]:
    if "allowed_ips" in facts.unclear:
        yield _("From where cannot be told yet: look at the allowed IPs.")
        return
    if facts.follows_servers:
        yield from _from_servers(facts)
    elif facts.allowed:
        yield _("It works from %(networks)s only.") % {"networks": listed(facts.allowed)}
    elif not facts.denied:
        yield _("It works from anywhere.")
    if facts.denied and facts.is_open:
        yield _("It works from anywhere but %(networks)s.") % {"networks": listed(facts.denied)}
    elif facts.denied:
        yield _("Even so it is refused from %(networks)s.") % {"networks": listed(facts.denied)}


def _from_servers(facts: Facts) -> Iterator[str]:
    if facts.servers:
        yield ngettext(
            "It works from the organization's server address, and from those added later.",
            "It works from the organization's %(count)d server addresses, and from those added "
            "later.",
            len(facts.servers),
        ) % {"count": len(facts.servers)}
    else:
        yield _("It works from the organization's server addresses, of which there are none yet.")
    if facts.allowed:
        yield _("It also works from %(networks)s.") % {"networks": listed(facts.allowed)}


def _period(facts: Facts, now: datetime) -> Iterator[str]:
    if facts.not_before is not None and facts.not_before > now:
        yield _("It does not work before %(date)s.") % {"date": moment_of(facts.not_before)}
    if "expires_at" in facts.unclear:
        yield _("Until when cannot be told yet: look at the expiry date.")
    elif facts.expires_at is None:
        yield _("It never expires.")
    elif facts.expires_at <= now:
        yield _("It expired on %(date)s.") % {"date": moment_of(facts.expires_at)}
    elif facts.expires_at < now + timedelta(days=2):
        yield _("It works until %(date)s.") % {"date": moment_of(facts.expires_at)}
    else:
        days = round((facts.expires_at - now) / timedelta(days=1))
        yield ngettext(
            "It works until %(date)s, for %(count)d day.",
            "It works until %(date)s, for %(count)d days.",
            days,
        ) % {"date": day(facts.expires_at), "count": days}


def _dangers(facts: Facts) -> Iterator[str]:
    kinds = deletable_kinds(facts)
    if kinds:
        yield ngettext(
            "Whoever has it can delete %(kinds)s in %(organization)s.",
            "Whoever has it can delete %(count)d kinds of things in %(organization)s: %(kinds)s.",
            len(kinds),
        ) % {
            "count": len(kinds),
            "kinds": ", ".join(kinds),
            "organization": facts.organization,
        }
    if facts.is_managing:
        yield _("Whoever has it can issue keys that outlive this one.")
    elif facts.is_issuing:
        yield _("Whoever has it can issue keys, no wider than this one.")
    if {BuiltInScope.UPDATE, BuiltInScope.MANAGE} & facts.scopes:
        yield _("Whoever has it can rotate or disable keys, and so stop your programs.")
    if BuiltInScope.READ in facts.scopes and len(facts.scopes) == 1:
        yield _("Whoever has it can read names, settings and use of keys, never their secrets.")
    if facts.own_scopes:
        yield _("Your services take whoever has it for the key's owner.")
    if not facts.scopes:
        yield _("Whoever has it can pass for its owner where only the key itself is asked for.")


def _advice(facts: Facts) -> Iterator[str]:
    if facts.is_open and "allowed_ips" not in facts.unclear:
        yield _("It works from anywhere: consider a list of allowed IPs.")
    if facts.expires_at is None and "expires_at" not in facts.unclear:
        yield _("It never ends by itself: consider an expiry date.")
    if facts.own_scopes and facts.limit is None and "limit" not in facts.unclear:
        yield _("Nothing bounds what it costs: consider a limit.")
