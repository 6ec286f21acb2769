"""What people are told of keys that nobody touched: they end, or an old secret goes on.

A notice is written in one transaction with its message, so that each is given once. A worker
that was away gives those that are still true when it is back.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.lookups import GreaterThan

from keys.models import APIKey, KeyNotice, KeySecret, Organization, User
from keys.models.keys import END, APIKeyQuerySet, ends_by
from keys.models.messages import Kind
from keys.services import outbox

# So many keys are looked at in one transaction.
_AT_ONCE = 200
# Of keys that ended before that, nobody wants to hear any more.
_STALE_AFTER = timedelta(days=7)
# What uses the old secret for longer than that after a rotation was forgotten, it seems.
_PATIENCE = timedelta(hours=1)

OLD_SECRET = "old_secret"  # noqa: S105 - the name of a topic


@dataclass(frozen=True)
class Stage:
    """A notice about the end of a key that lies after `after` and not after `until`.

    Keys that were not made to live for `least_life` are born with it; nobody needs a mail.
    """

    topic: str
    event: str
    kind: Kind
    after: datetime
    until: datetime
    least_life: timedelta
    days: int | None = None


def stages_at(now: datetime) -> list[Stage]:
    """Return which notices are given at a moment, about keys that end when; none overlaps."""
    day = timedelta(days=1)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + day
    soon = "apikey.expiring"
    return [
        Stage("expiring_14", soon, Kind.EXPIRING, now + 7 * day, now + 14 * day, 14 * day, 14),
        Stage("expiring_7", soon, Kind.EXPIRING, now + day, now + 7 * day, 7 * day, 7),
        Stage("expiring_1", soon, Kind.EXPIRING, midnight, now + day, day, 1),
        Stage("expiring_0", soon, Kind.EXPIRING, now, midnight, day, 0),
        Stage("expired", "apikey.expired", Kind.EXPIRED, now - _STALE_AFTER, now, day),
    ]


def give_expiry_notices(*, now: datetime) -> int:
    """Tell people of keys that end soon or ended; return of how many keys they were told."""
    given = 0
    for organization in Organization.objects.filter(suspended_at=None):
        for stage in stages_at(now):
            while keys := list(_untold(organization, stage)[:_AT_ONCE]):
                _tell_of_ends(organization, stage, keys, now)
                given += len(keys)
    return given


def give_secret_notices(*, now: datetime) -> int:
    """Tell people of replaced secrets that are still used; return of how many they were told."""
    told = KeyNotice.objects.filter(
        key=OuterRef("key"), topic=OLD_SECRET, moment=OuterRef("superseded_at")
    )
    used = (
        KeySecret.objects.filter(
            ~Exists(told),
            revoked_at=None,
            superseded_at__isnull=False,
            last_used_at__gt=F("superseded_at"),
        )
        .filter(Q(retires_at=None) | Q(retires_at__gt=now))
        .select_related("key__organization", "key__owner")
        .prefetch_related("key__secrets")
        .filter(key__revoked_at=None)
    )
    given = 0
    for secret in used.order_by("pk")[: _AT_ONCE * 10]:
        if secret.works_at(now) and _was_forgotten(secret):
            _tell_of_old_secret(secret)
            given += 1
    return given


def _untold(organization: Organization, stage: Stage) -> QuerySet[APIKey]:
    told = KeyNotice.objects.filter(
        key=OuterRef("pk"), topic=stage.topic, moment=OuterRef("expires_at")
    )
    keys: APIKeyQuerySet = organization.api_keys.live().enabled()
    return (
        keys.filter(
            ends_by(stage.until),
            Q(GreaterThan(END, stage.after)),
            ~Exists(told),
            created_at__lte=F("expires_at") - stage.least_life,
        )
        .select_related("owner", "organization")
        .prefetch_related("secrets")
        .order_by("pk")
    )


def _tell_of_ends(
    organization: Organization, stage: Stage, keys: list[APIKey], now: datetime
) -> None:
    people: dict[int | None, list[User]] = {}
    with transaction.atomic():
        KeyNotice.objects.bulk_create(
            KeyNotice(key=key, topic=stage.topic, moment=key.expires_at)  # type: ignore[misc]
            for key in keys
        )
        for key in keys:
            if key.owner_id not in people:
                people[key.owner_id] = outbox.responsible_for(key)
            outbox.write(
                kind=stage.kind,
                people=people[key.owner_id],
                organization=organization,
                data=outbox.facts_of(key),
            )
            outbox.publish_of_key(key, event=stage.event, at=now, more={"days": stage.days})


def _tell_of_old_secret(secret: KeySecret) -> None:
    key = secret.key
    data = {
        **outbox.facts_of(key),
        "label": secret.label,
        "used_at": secret.last_used_at.isoformat() if secret.last_used_at else None,
        "ends_at": secret.retires_at.isoformat() if secret.retires_at else None,
    }
    with transaction.atomic():
        KeyNotice.objects.create(
            key=key,
            topic=OLD_SECRET,
            moment=secret.superseded_at,  # type: ignore[misc]
        )
        outbox.write(
            kind=Kind.OLD_SECRET,
            people=outbox.responsible_for(key),
            organization=key.organization,
            data=data,
        )
        outbox.publish_of_key(
            key,
            event="apikey.old_secret_used",
            at=secret.last_used_at,  # type: ignore[arg-type]
            more={"old_label": secret.label},
        )


def _was_forgotten(secret: KeySecret) -> bool:
    """Say whether an old secret was used when whoever was about to change over had the time."""
    if secret.superseded_at is None or secret.last_used_at is None:
        return False
    patience = _PATIENCE
    if secret.retires_at is not None:
        patience = min(patience, (secret.retires_at - secret.superseded_at) / 2)
    return secret.last_used_at >= secret.superseded_at + patience
