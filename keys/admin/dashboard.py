"""What staff see first: what needs them, how large the installation is, what just happened."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, IntegerField, Q, QuerySet, Sum, When
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from keys import policy
from keys.admin.counting import Count, count_up_to
from keys.admin.rows import visible_people
from keys.audit_filters import LOOKS
from keys.hygiene import owner_is_gone
from keys.models import (
    APIKey,
    AuditEvent,
    Organization,
    OrganizationBucket,
    UsageBucket,
    User,
)
from keys.models.keys import Status
from keys.verification import Code

# The newest buckets of use are read, and no older ones: buckets are numbered as their hours
# come, so that this is the whole day except where very many keys or organizations are.
BUCKETS_READ = 50_000

EVENTS_SHOWN = 12
SPIKES_SHOWN = 8
SPIKES_COMPARED = 50
# A key that is refused this often in a day, and more often than let through, is looked at.
SPIKE = 100


@dataclass(frozen=True)
class Concern:
    """Something that wants a look, and where to look."""

    count: Count
    text: str
    url: str
    is_grave: bool = False


@dataclass(frozen=True)
class Number:
    """One figure of the installation."""

    label: str
    count: Count
    url: str = ""
    note: str = ""


@dataclass(frozen=True)
class Spike:
    """A key that was refused unusually often in a day."""

    key: APIKey
    refused: int


def context(actor: User) -> dict[str, Any]:
    """Return what the first page shows this person."""
    now = timezone.now()
    keys = policy.visible(actor, APIKey.objects.all())
    events = policy.visible(actor, AuditEvent.objects.select_related("organization"))
    return {
        "concerns": [each for each in _concerns(actor, keys, now) if each.count],
        "spikes": _spikes(actor, now),
        "numbers": [*_sizes(actor, keys, now), *_judgements(actor, now)],
        "events": list(events.exclude(action__in=LOOKS)[:EVENTS_SHOWN]),
    }


def _concerns(actor: User, keys: Any, now: datetime) -> Iterator[Concern]:
    organizations = policy.visible(actor, Organization.objects.filter(suspended_at__isnull=False))
    yield Concern(
        count_up_to(organizations),
        _("Suspended organizations"),
        _listed("organization", state="suspended"),
        is_grave=True,
    )
    yield Concern(
        count_up_to(keys.with_status(Status.LOCKED, now)),
        _("Keys locked by staff"),
        _listed("apikey", status=Status.LOCKED),
        is_grave=True,
    )
    yield Concern(
        count_up_to(keys.live().filter(owner_is_gone())),
        _("Keys whose owner is gone: nothing accepts them"),
        _listed("apikey", attention="owner_gone"),
    )
    yield Concern(
        count_up_to(keys.expiring_soon(now)),
        _("Keys that expire within 14 days"),
        _listed("apikey", attention="expiring"),
    )


def _sizes(actor: User, keys: Any, now: datetime) -> Iterator[Number]:
    organizations = policy.visible(actor, Organization.objects.all())
    yield Number(_("Organizations"), count_up_to(organizations), _listed("organization"))
    yield Number(
        _("People"),
        count_up_to(visible_people(actor)),
        _listed("user") if actor.has_perm("keys.view_user") else "",
    )
    active = keys.with_status(Status.ACTIVE, now)
    yield Number(_("Active keys"), count_up_to(active), _listed("apikey", status=Status.ACTIVE))


def _judgements(actor: User, now: datetime) -> Iterator[Number]:
    buckets, is_whole = _last_day(actor, OrganizationBucket, now)
    sums = buckets.aggregate(accepted=_accepted(), refused=_refused())
    note = "" if is_whole else _("at least")
    for label, number in (
        (_("Verified in 24 hours"), sums["accepted"]),
        (_("Refused in 24 hours"), sums["refused"]),
    ):
        yield Number(label, Count(number), note=note)


def _spikes(actor: User, now: datetime) -> list[Spike]:
    """Return the keys that were refused oftenest in the last 24 hours, if often at all."""
    buckets, _is_whole = _last_day(actor, UsageBucket, now)
    # Few keys are refused that often; names and uses are then looked up for these alone.
    refused = dict(
        buckets.exclude(outcome=Code.VALID)
        .values_list("key")
        .annotate(refused=Sum("requests"))
        .filter(refused__gte=SPIKE)
        .order_by("-refused", "key")[:SPIKES_COMPARED]
    )
    accepted = dict(
        buckets.filter(outcome=Code.VALID, key__in=refused)
        .values_list("key")
        .annotate(accepted=Sum("requests"))
    )
    spikes = [pk for pk, number in refused.items() if number > accepted.get(pk, 0)][:SPIKES_SHOWN]
    keys = APIKey.objects.select_related("organization").in_bulk(spikes)
    return [Spike(keys[pk], refused[pk]) for pk in spikes]


def _last_day(actor: User, model: type[Any], now: datetime) -> tuple[QuerySet[Any], bool]:
    """Return the buckets of the last 24 hours, and whether these are all of them."""
    since = now - timedelta(days=1)
    buckets = policy.visible(actor, model.objects.order_by())
    newest_first = buckets.order_by("-pk").values_list("pk", "hour")
    last = newest_first[BUCKETS_READ : BUCKETS_READ + 1].first()
    if last is None:
        return buckets.filter(hour__gt=since), True
    # Not counted off by numbers: PostgreSQL leaves some out whenever it adds to a bucket.
    pk, hour = last
    return buckets.filter(pk__gt=pk, hour__gt=since), hour <= since


def _accepted() -> Coalesce:
    return Coalesce(Sum(Case(When(outcome=Code.VALID, then="requests")), output_field=_WHOLE), 0)


def _refused() -> Coalesce:
    refused = When(~Q(outcome=Code.VALID), then="requests")
    return Coalesce(Sum(Case(refused), output_field=_WHOLE), 0)


_WHOLE = IntegerField()


def _listed(model: str, **narrowed: Any) -> str:
    return reverse(f"admin:keys_{model}_changelist", query=narrowed)
