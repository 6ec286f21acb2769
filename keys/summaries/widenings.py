"""In what a change lets a key do more than before."""

from collections.abc import Iterator
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from keys import networks
from keys.models.rates import is_kept_by
from keys.models.usage import RESETS
from keys.summaries.facts import Facts
from keys.summaries.sentences import credit, pace
from keys.summaries.words import day, listed, moment_of


def widenings(before: Facts, after: Facts, *, now: datetime) -> list[str]:
    """Return, in sentences, in what the key may do more than before; none: it was narrowed only.

    Of what is unclear they say nothing.
    """
    return [
        *_wider_access(before, after),
        *_wider_origin(before, after),
        *_wider_period(before, after, now),
        *_wider_credit(before, after),
        *_faster_pace(before, after),
    ]


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
            yield _("It works from %(networks)s as well.") % {"networks": listed(added)}
        if after.follows_servers and not before.follows_servers:
            yield _("It works from the organization's server addresses, also from future ones.")
    released = tuple(each for each in before.denied if not networks.covers(after.denied, each))
    is_reachable = any(after.is_open or networks.meets(after.origins, each) for each in released)
    if is_reachable:
        yield _("It is no longer refused from %(networks)s.") % {"networks": listed(released)}


def _wider_period(before: Facts, after: Facts, now: datetime) -> Iterator[str]:
    old, new = before.expires_at, after.expires_at
    if "expires_at" in after.unclear:
        new = old
    if old is not None and new is None:
        yield _("It never expires; until now it did on %(date)s.") % {"date": day(old)}
    elif old is not None and new is not None and new > old:
        yield _("It works until %(date)s; until now to %(old)s.") % {
            "date": day(new),
            "old": day(old),
        }
    start = before.not_before
    if start is not None and start > now and (after.not_before or now) < start:
        yield _("It works earlier than %(date)s.") % {"date": moment_of(start)}


def _wider_credit(before: Facts, after: Facts) -> Iterator[str]:
    if before.limit is None or "limit" in after.unclear:
        return
    if (
        after.limit is None
        or after.limit > before.limit
        or RESETS.index(after.limit_reset) > RESETS.index(before.limit_reset)
    ):
        yield credit(after)
    elif before.counts_byok and not after.counts_byok:
        yield _("Use with one's own provider keys no longer counts against its limit.")


def _faster_pace(before: Facts, after: Facts) -> Iterator[str]:
    if "rate_limits" in after.unclear or all(
        is_kept_by(rate, after.rates) for rate in before.rates
    ):
        return
    if after.rates:
        yield from pace(after)
    else:
        yield _("It may make as many requests as it likes; until now a rate limit said how many.")
