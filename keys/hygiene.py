"""Which keys want attention, why, and what to do about it.

Only keys that could be used are asked about: not revoked, not stopped, not expired. Those of
who left are stopped by that, and asked about nevertheless: somebody has to see to them. Each
check is one condition, from which the counts, the list and the advice on a key all come.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from keys import search
from keys.models import (
    AllowedIP,
    APIKey,
    KeySecret,
    LeakReport,
    Membership,
    Organization,
    Role,
    ScopeUse,
)
from keys.models.counting import BoundedCount
from keys.models.keys import APIKeyQuerySet, ends_soon, never_ends
from keys.orderings import Ordering
from keys.rules import breaks_any, loaded_rules

IDLE_AFTER = timedelta(days=90)
# What a younger key did not use yet, it may be about to.
SCOPES_JUDGED_AFTER = timedelta(days=30)

# Of more keys nobody needs the number.
MOST_COUNTED = 10_000
# Where no index tells what fails a check, no more keys are looked at.
MOST_LOOKED_AT = 2_000
# Nor more than these for one page of a list.
MOST_LOOKED_THROUGH = 5_000

# Bounds in days between which keys are counted: by the age of their secret, by their end.
AGES = (30, 90, 180, 365)
ENDS = (7, 30, 60, 90)


@dataclass(frozen=True)
class Check:
    """One reason to look at a key.

    `label` completes "keys that …", `advice` says to people what to do. `condition` holds
    for the keys of an organization that fail the check at a moment. `is_looked_for`: no index
    tells these, keys are looked at one by one. `is_of_stopped`: also keys are asked about which
    somebody disabled or locked.
    """

    name: str
    label: str | Promise
    advice: str | Promise
    condition: Callable[[datetime, Organization], Q]
    is_looked_for: bool = False
    is_of_stopped: bool = False


def is_confined() -> Q:
    """Return the condition that a key works from some addresses only."""
    return _has_allow_list() | Q(assign_server_ips=True)


def _has_allow_list() -> Q:
    rows = AllowedIP.objects.filter(key=OuterRef("pk"), active=True, deny=False)
    return Q(Exists(rows))


def _never_expires(now: datetime, organization: Organization) -> Q:
    return never_ends()


def _has_no_ip_list(now: datetime, organization: Organization) -> Q:
    # Apart: of the two in one negation PostgreSQL reads the lists of all keys first.
    return ~_has_allow_list() & Q(assign_server_ips=False)


def _is_idle(now: datetime, organization: Organization) -> Q:
    since = now - IDLE_AFTER
    return Q(created_at__lt=since) & (
        Q(totals__last_used_at=None) | Q(totals__last_used_at__lt=since)
    )


def _is_over_scoped(now: datetime, organization: Organization) -> Q:
    since = now - IDLE_AFTER
    uses = ScopeUse.objects.filter(last_used_at__gte=since)
    listed = APIKey.scopes.through.objects.filter(apikey=OuterRef("pk")).filter(
        ~Exists(uses.filter(key=OuterRef("apikey"), code=OuterRef("scope__code")))
    )
    followed = Role.scopes.through.objects.filter(role=OuterRef("role")).filter(
        ~Exists(uses.filter(key=OuterRef(OuterRef("pk")), code=OuterRef("scope__code")))
    )
    # Where nobody ever asks for scopes, none that is not asked for can be told to be idle.
    return (
        Q(created_at__lt=now - SCOPES_JUDGED_AFTER)
        & Q(Exists(uses.filter(key=OuterRef("pk"))))
        & (Q(Exists(listed)) | Q(Exists(followed)))
    )


def owner_is_gone() -> Q:
    """Select the keys of people who left the organization or may not sign in: refused ones."""
    membership = Membership.objects.filter(
        organization=OuterRef("organization"), user=OuterRef("owner"), user__is_active=True
    )
    return Q(owner__isnull=False) & ~Q(Exists(membership))


def _has_lost_its_owner(now: datetime, organization: Organization) -> Q:
    return search.by_lost_owner(organization).condition


def _is_older_than_policy(now: datetime, organization: Organization) -> Q:
    if organization.rotation_days is None:
        return Q(pk__in=[])
    since = now - timedelta(days=organization.rotation_days)
    recent = KeySecret.objects.filter(key=OuterRef("pk"), revoked_at=None, created_at__gte=since)
    # A key has a current secret, and none is older than the key.
    return Q(created_at__lt=since) & ~Q(Exists(recent))


def _breaks_policy(now: datetime, organization: Organization) -> Q:
    return breaks_any(loaded_rules(organization), now)


def _is_expiring(now: datetime, organization: Organization) -> Q:
    return ends_soon(now)


def _was_found(now: datetime, organization: Organization) -> Q:
    # By reports, which are fewer than keys.
    reports = LeakReport.objects.filter(organization=organization, settled_at=None)
    return Q(pk__in=reports.values("key"))


# In the order in which people should care.
CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        Check(
            "found",
            _("were found by somebody who handed them in"),
            _("Whoever saw a key may have a copy. Rotate it, then settle the report."),
            _was_found,
        ),
        Check(
            "owner_gone",
            _("belong to somebody who left"),
            _(
                "Every request with such a key is refused. Who manages the organization hands it "
                "over: it gets a new secret and another owner. Revoke what nobody needs."
            ),
            _has_lost_its_owner,
            is_of_stopped=True,
        ),
        Check(
            "expiring",
            _("expire within 14 days"),
            _("Requests fail from then on. Give each key more time, or rotate it and let it end."),
            _is_expiring,
        ),
        Check(
            "breaks_policy",
            _("break a rule of your policy"),
            _("Such a key works on, but nobody lets it live longer or work again. Make it fit."),
            _breaks_policy,
            is_looked_for=True,
        ),
        Check(
            "older_than_policy",
            _("have a secret older than your policy allows"),
            _("The longer a secret lives, the more places know it. Rotate the key."),
            _is_older_than_policy,
            is_looked_for=True,
        ),
        Check(
            "over_scoped",
            _("hold scopes that they do not use"),
            _("Take away what was not used for 90 days: whoever steals the key cannot either."),
            _is_over_scoped,
            is_looked_for=True,
        ),
        Check(
            "idle",
            _("were not used for 90 days"),
            _("Such a key may be forgotten. Disable it first, and revoke it when nothing breaks."),
            _is_idle,
            is_looked_for=True,
        ),
        Check(
            "never_expires",
            _("never expire"),
            _("A forgotten key stays open for good. Choose a date on which it ends."),
            _never_expires,
        ),
        Check(
            "no_ip_list",
            _("work from any address"),
            _("Whoever finds the key can use it anywhere. Allow only your servers' addresses."),
            _has_no_ip_list,
            is_looked_for=True,
        ),
    )
}


def keys_failing(
    check: str, keys: APIKeyQuerySet, *, organization: Organization, now: datetime
) -> APIKeyQuerySet:
    """Return those of the organization's keys that fail a check. KeyError: there is none such."""
    failing = _failing(check, keys, organization, now)
    if check != "owner_gone":
        return failing
    sign = search.by_lost_owner(organization)
    return cast(APIKeyQuerySet, search.narrow(failing, [sign], are_many=search.has_many(keys)))


def order_of(check: str, ordering: Ordering) -> Ordering:
    """Return an order for the keys that fail a check, bounded where no index tells these."""
    if not CHECKS[check].is_looked_for:
        return ordering
    return ordering.of_old(most_looked_at=MOST_LOOKED_THROUGH)


class OfOldest(int):
    """How many of the oldest MOST_LOOKED_AT keys; there are younger ones."""


def counts(
    keys: APIKeyQuerySet,
    *,
    organization: Organization,
    now: datetime,
    checks: Collection[str] = CHECKS,
) -> dict[str, int]:
    """Return {check: how many of the organization's keys fail it}.

    Two queries; of very many keys one more for each check that an index answers, since
    PostgreSQL plans these badly together.

    They are exact up to MOST_COUNTED; one more stands for any number above. Where no index
    tells the keys, it is looked for among the oldest MOST_LOOKED_AT in use: what there
    is to tidy up lies there. Where there are more of these, such a count is an OfOldest.
    """
    oldest_first = in_use(keys, now).order_by("pk").values("pk")
    if not oldest_first[MOST_LOOKED_AT : MOST_LOOKED_AT + 1].exists():
        counted = {
            name: BoundedCount(_failing(name, keys, organization, now), most=MOST_COUNTED)
            for name in checks
        }
        rows: QuerySet = Organization.objects.filter(pk=organization.pk)
        return rows.values(**counted).get()
    looked_for = [name for name in checks if CHECKS[name].is_looked_for]
    looked_at = APIKey.objects.filter(pk__in=oldest_first[:MOST_LOOKED_AT])
    among_oldest = _count_together(looked_for, looked_at, organization, now)
    return {
        name: OfOldest(among_oldest[name])
        if name in among_oldest
        else count_some(_failing(name, keys, organization, now))
        for name in checks
    }


def count_some(keys: QuerySet[APIKey]) -> int:
    """Return how many keys these are: exactly up to MOST_COUNTED, else one more. One query."""
    return keys.order_by()[: MOST_COUNTED + 1].count()


def findings(key: APIKey, *, now: datetime) -> list[Check]:
    """Return the checks that one key fails, the most urgent first. One query."""
    checks = [name for name, check in CHECKS.items() if key.is_enabled or check.is_of_stopped]
    alone = APIKey.objects.filter(pk=key.pk).live().unexpired(now)
    found = _count_together(checks, alone, key.organization, now)
    return [CHECKS[name] for name in checks if found[name]]


def unused_scopes(keys: Iterable[APIKey], *, now: datetime) -> dict[int, list[str]]:
    """Return {key's number: the scopes that it holds and did not use for 90 days}.

    Of a key whose use tells nothing yet, these are none. Keys are loaded with their scopes.
    One query.
    """
    rows = {key.pk: key for key in keys}
    uses = ScopeUse.objects.filter(key__in=rows, last_used_at__gte=now - IDLE_AFTER)
    used = defaultdict(set)
    for pk, code in uses.values_list("key", "code"):
        used[pk].add(code)
    return {
        pk: [code for code in key.scope_codes if code not in used[pk]]
        if used[pk] and key.created_at < now - SCOPES_JUDGED_AFTER
        else []
        for pk, key in rows.items()
    }


def ages(keys: APIKeyQuerySet, *, now: datetime) -> list[int]:
    """Return how many keys have a current secret younger than each of AGES, but not than the
    one before; last, how many have an older one. Of the newest MOST_COUNTED keys; one query."""
    current = KeySecret.objects.filter(
        key__in=_newest(in_use(keys, now)).values("pk"), revoked_at=None, superseded_at=None
    )
    moments = [now - timedelta(days=days) for days in AGES]
    return _count_between(current, [Q(created_at__gt=moment) for moment in moments])


def ends(keys: APIKeyQuerySet, *, now: datetime) -> list[int]:
    """Return how many keys expire within each of ENDS, but not within the one before; then how
    many later; last, how many never. One query."""
    moments = [now + timedelta(days=days) for days in ENDS]
    conditions = [Q(expires_at__lte=moment) for moment in moments]
    return _count_between(_newest(in_use(keys, now)), [*conditions, Q(expires_at__isnull=False)])


def _count_together(
    checks: Iterable[str], keys: APIKeyQuerySet, organization: Organization, now: datetime
) -> dict[str, int]:
    """Return {check: how many of these few keys fail it}, each key read once. One query."""
    conditions = {name: CHECKS[name].condition(now, organization) for name in checks}
    return keys.aggregate(**{name: Count("pk", filter=each) for name, each in conditions.items()})


def _count_between(rows: QuerySet, conditions: list[Q]) -> list[int]:
    """Count the rows by the first of these conditions that they fulfil, and those by none."""
    sums = {f"within_{index}": Count("pk", filter=each) for index, each in enumerate(conditions)}
    found = rows.aggregate(**sums, everything=Count("pk"))
    totals = [*(found[name] for name in sums), found["everything"]]
    return [total - before for before, total in zip([0, *totals], totals, strict=False)]


def _newest(keys: APIKeyQuerySet) -> APIKeyQuerySet:
    return keys.order_by("-pk")[:MOST_COUNTED]


def _failing(
    check: str, keys: APIKeyQuerySet, organization: Organization, now: datetime
) -> APIKeyQuerySet:
    return asked_about(check, keys, now).filter(CHECKS[check].condition(now, organization))


def asked_about(check: str, keys: APIKeyQuerySet, now: datetime) -> APIKeyQuerySet:
    """Return the keys that one check is about."""
    if CHECKS[check].is_of_stopped:
        return keys.live().unexpired(now)
    return in_use(keys, now)


def in_use(keys: APIKeyQuerySet, now: datetime) -> APIKeyQuerySet:
    """Return the keys that most checks are about: those which could be used."""
    return keys.live().enabled().unexpired(now)
