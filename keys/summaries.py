"""What a key may do, from where, until when, at what cost, and what a leak would mean: in words.

Pure: from facts to whole sentences, in the language of whoever reads them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from keys import networks
from keys.models import APIKey
from keys.models.usage import LimitReset
from keys.roles import GRANTS, BuiltInScope, Permission

# A sentence names so many addresses, and counts them beyond.
_NAMED = 3

# How often a spent limit is full again, from seldom to often.
_RESETS = (LimitReset.MONTHLY, LimitReset.WEEKLY, LimitReset.DAILY)

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
class Facts:
    """What decides what a key may do; `unclear` names the parts that cannot be told yet."""

    organization: str
    # The person it acts for; None: the organization itself.
    owner: str | None
    scopes: frozenset[str] = frozenset()
    role: str | None = None
    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    follows_servers: bool = False
    servers: tuple[str, ...] = ()
    not_before: datetime | None = None
    expires_at: datetime | None = None
    limit: Decimal | None = None
    limit_reset: str | None = None
    counts_byok: bool = False
    unclear: frozenset[str] = field(default=frozenset())

    @property
    def is_open(self) -> bool:
        """Whether no list says from where the key works."""
        return not (self.allowed or self.follows_servers)

    @property
    def is_managing(self) -> bool:
        return BuiltInScope.MANAGE in self.scopes

    @property
    def own_scopes(self) -> list[str]:
        """The organization's own scopes, sorted; the portal does not know what they allow."""
        return sorted(self.scopes - set(BuiltInScope))

    @property
    def origins(self) -> tuple[str, ...]:
        """The networks that the lists allow today."""
        return (*self.allowed, *self.servers) if self.follows_servers else self.allowed


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


def facts_of(key: APIKey) -> Facts:
    """Return the facts of a key loaded with its details; one more query if it follows servers."""
    rows = [row for row in key.allowed_ips.all() if row.active]
    servers: Iterable[str] = ()
    if key.assign_server_ips:
        servers = key.organization.server_addresses.values_list("network", flat=True)
    return Facts(
        organization=key.organization.name,
        owner=key.owner.display_name if key.owner else None,
        scopes=frozenset(key.scope_codes),
        role=key.role.name if key.role else None,
        allowed=tuple(row.network for row in rows if not row.deny),
        denied=tuple(row.network for row in rows if row.deny),
        follows_servers=key.assign_server_ips,
        servers=tuple(servers),
        not_before=key.not_before,
        expires_at=key.expires_at,
        limit=key.limit,
        limit_reset=key.limit_reset,
        counts_byok=key.include_byok_in_limit,
    )


def summarize(facts: Facts, *, now: datetime) -> Summary:
    """Return the key in sentences."""
    return Summary(
        abilities=list(_abilities(facts)),
        origin=list(_origin(facts)),
        period=list(_period(facts, now)),
        credit=[credit(facts)],
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
    here = [str(name) for permission, name in _DELETABLE.items() if permission in granted]
    return here + sorted(
        {
            resource
            for resource, _colon, action in (code.rpartition(":") for code in facts.own_scopes)
            if action in _DELETING_ACTIONS
        }
    )


def widenings(before: Facts, after: Facts, *, now: datetime) -> list[str]:
    """Return, in sentences, in what the key may do more than before; none: it was narrowed only.

    Of what is unclear they say nothing.
    """
    return [
        *_wider_access(before, after),
        *_wider_origin(before, after),
        *_wider_period(before, after, now),
        *_wider_credit(before, after),
    ]


def credit(facts: Facts) -> str:
    """Return in a sentence how much the key may spend."""
    if "limit" in facts.unclear:
        return _("How much it may spend cannot be told yet: look at the limit.")
    if facts.limit is None:
        return _("It may spend without limit.")
    amount, count = _amount(facts.limit), _plural_number(facts.limit)
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
            if scope in facts.scopes:
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
        yield _("It works from %(networks)s only.") % {"networks": _listed(facts.allowed)}
    elif not facts.denied:
        yield _("It works from anywhere.")
    if facts.denied and facts.is_open:
        yield _("It works from anywhere but %(networks)s.") % {"networks": _listed(facts.denied)}
    elif facts.denied:
        yield _("Even so it is refused from %(networks)s.") % {"networks": _listed(facts.denied)}


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
        yield _("It also works from %(networks)s.") % {"networks": _listed(facts.allowed)}


def _period(facts: Facts, now: datetime) -> Iterator[str]:
    if facts.not_before is not None and facts.not_before > now:
        yield _("It does not work before %(date)s.") % {"date": _moment(facts.not_before)}
    if "expires_at" in facts.unclear:
        yield _("Until when cannot be told yet: look at the expiry date.")
    elif facts.expires_at is None:
        yield _("It never expires.")
    elif facts.expires_at <= now:
        yield _("It expired on %(date)s.") % {"date": _moment(facts.expires_at)}
    elif facts.expires_at < now + timedelta(days=2):
        yield _("It works until %(date)s.") % {"date": _moment(facts.expires_at)}
    else:
        days = round((facts.expires_at - now) / timedelta(days=1))
        yield ngettext(
            "It works until %(date)s, for %(count)d day.",
            "It works until %(date)s, for %(count)d days.",
            days,
        ) % {"date": _day(facts.expires_at), "count": days}


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
        yield _("They can issue keys of their own, which outlive this one.")
    elif BuiltInScope.CREATE in facts.scopes:
        yield _("They can issue keys of their own, no wider than this one.")
    if {BuiltInScope.UPDATE, BuiltInScope.MANAGE} & facts.scopes:
        yield _("They can rotate or disable keys, and so stop your programs.")
    if BuiltInScope.READ in facts.scopes and len(facts.scopes) == 1:
        yield _("Whoever has it can read names, settings and use of keys, never their secrets.")
    if facts.own_scopes:
        yield _("Your services will take them for the key's owner.")
    if not facts.scopes:
        yield _("Whoever has it can pass for its owner where only the key itself is asked for.")


def _advice(facts: Facts) -> Iterator[str]:
    if facts.is_open and "allowed_ips" not in facts.unclear:
        yield _("It works from anywhere: consider a list of allowed IPs.")
    if facts.expires_at is None and "expires_at" not in facts.unclear:
        yield _("It never ends by itself: consider an expiry date.")
    if facts.own_scopes and facts.limit is None and "limit" not in facts.unclear:
        yield _("Nothing bounds what it costs: consider a limit.")


# In what a key got wider


def _wider_access(before: Facts, after: Facts) -> Iterator[str]:
    gained = sorted(after.scopes - before.scopes)
    if gained:
        yield ngettext(
            "It gets the scope %(codes)s.",
            "It gets the scopes %(codes)s.",
            len(gained),
        ) % {"codes": ", ".join(gained)}
    if after.role and after.role != before.role:
        yield _("It follows the role %(role)s from now on, also when that gets wider.") % {
            "role": after.role
        }


def _wider_origin(before: Facts, after: Facts) -> Iterator[str]:
    if "allowed_ips" in after.unclear:
        return
    if after.is_open and not before.is_open:
        yield _("It works from anywhere; until now a list said from where.")
    elif not before.is_open:
        added = tuple(each for each in after.allowed if not networks.covers(before.origins, each))
        if added:
            yield _("It works from %(networks)s as well.") % {"networks": _listed(added)}
        if after.follows_servers and not before.follows_servers:
            yield _("It works from the organization's server addresses, also from future ones.")
    released = tuple(each for each in before.denied if not networks.covers(after.denied, each))
    is_reachable = any(after.is_open or networks.meets(after.origins, each) for each in released)
    if is_reachable:
        yield _("It is no longer refused from %(networks)s.") % {"networks": _listed(released)}


def _wider_period(before: Facts, after: Facts, now: datetime) -> Iterator[str]:
    old, new = before.expires_at, after.expires_at
    if "expires_at" in after.unclear:
        new = old
    if old is not None and new is None:
        yield _("It never expires; until now it did on %(date)s.") % {"date": _day(old)}
    elif old is not None and new is not None and new > old:
        yield _("It works until %(date)s; until now to %(old)s.") % {
            "date": _day(new),
            "old": _day(old),
        }
    start = before.not_before
    if start is not None and start > now and (after.not_before or now) < start:
        yield _("It works earlier than %(date)s.") % {"date": _moment(start)}


def _wider_credit(before: Facts, after: Facts) -> Iterator[str]:
    if before.limit is None or "limit" in after.unclear:
        return
    resets: list[str | None] = [None, *_RESETS]
    if (
        after.limit is None
        or after.limit > before.limit
        or resets.index(after.limit_reset) > resets.index(before.limit_reset)
    ):
        yield credit(after)
    elif before.counts_byok and not after.counts_byok:
        yield _("Use with one's own provider keys no longer counts against its limit.")


# Words


def _listed(addresses: tuple[str, ...]) -> str:
    named, rest = ", ".join(addresses[:_NAMED]), len(addresses) - _NAMED
    if rest <= 0:
        return named
    return ngettext("%(named)s and %(count)d more", "%(named)s and %(count)d more", rest) % {
        "named": named,
        "count": rest,
    }


def _day(moment: datetime) -> str:
    return date_format(timezone.localtime(moment), "DATE_FORMAT")


def _moment(moment: datetime) -> str:
    return date_format(timezone.localtime(moment), "DATETIME_FORMAT")


def _amount(amount: Decimal) -> str:
    return number_format(f"{amount.normalize():f}", force_grouping=True)


def _plural_number(amount: Decimal) -> int:
    # Fractions take the plural.
    return int(amount) if amount == int(amount) else 2
