"""The latest decisions of each key, and everything else that is kept for a while only."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db.models import Model, QuerySet

from keys import upserts
from keys.journal import Wording
from keys.models import Decision, JournalSegment, MinuteBucket, OrganizationMinute
from keys.verification import Code

# Decisions are kept so long, and no more of a key than DECISIONS_KEPT_PER_KEY.
DECISIONS_KEPT_FOR = timedelta(days=30)
MINUTES_KEPT_FOR = timedelta(hours=2)
# Positions in journals whose files are gone.
_SEGMENTS_KEPT_FOR = timedelta(days=30)
_SCOPES_REMEMBERED = 20
_DELETED_AT_ONCE = 1000
# What is too much of a key's is deleted when it is a tenth more than is kept, on average.
_SLACK = 10


class Judged(NamedTuple):
    """One judgement of a key, as it is kept; what it would cost, in millionths."""

    key_id: int
    secret_id: int
    at: datetime
    outcome: str
    door: str
    address: str | None
    wording: Wording
    cost: int
    request_id: str

    def row(self) -> tuple:
        words = self.wording
        return (
            *(self.key_id, self.secret_id, self.at, self.outcome, self.door, self.address),
            *(words.user_agent, words.scopes[:_SCOPES_REMEMBERED]),
            *(words.method, words.path),
            self.cost if self.outcome == Code.VALID else 0,
            self.request_id,
        )


_FIELDS = (
    *("key", "secret", "at", "outcome", "door", "address"),
    *("user_agent", "scopes", "method", "path", "cost", "request_id"),
)


def remember(judged: Iterable[Judged]) -> None:
    """Keep these decisions, and let the oldest of the same keys make room."""
    kept = settings.DECISIONS_KEPT_PER_KEY
    if not kept:
        return
    # Numbered as time goes.
    ordered = sorted(judged, key=lambda each: each.at)
    upserts.insert(Decision, _FIELDS, [each.row() for each in ordered])
    every = max(1, kept // _SLACK)
    # Looked for by chance: nobody has to know how many there are.
    for key_id in sorted({each.key_id for each in ordered if not hash(each[:3]) % every}):
        decisions = Decision.objects.filter(key=key_id)
        numbers = decisions.order_by("-id").values_list("id", flat=True)
        surplus = numbers[kept : kept + 1].first()
        if surplus is not None:
            decisions.filter(id__lte=surplus).delete()


def purge(*, now: datetime) -> dict[type[Model], int]:
    """Delete what is kept for a while only and is past that; return how many rows of each kind."""
    deleted = dict.fromkeys((Decision, MinuteBucket, OrganizationMinute, JournalSegment), 0)
    while True:
        some = tidy(now=now)
        for model, count in some.items():
            deleted[model] += count
        if max(some.values()) < _DELETED_AT_ONCE:
            return deleted


def tidy(*, now: datetime) -> dict[type[Model], int]:
    """Delete a bounded number of rows of each kind, as purge() does."""
    since = now - DECISIONS_KEPT_FOR if settings.DECISIONS_KEPT_PER_KEY else now
    finished = JournalSegment.objects.filter(finished_at__isnull=False)
    return {
        Decision: _delete_oldest(Decision.objects.order_by("pk"), "at", since),
        **{
            model: _delete_oldest(
                model._default_manager.order_by("pk"), "minute", now - MINUTES_KEPT_FOR
            )
            for model in (MinuteBucket, OrganizationMinute)
        },
        JournalSegment: _delete_oldest(
            finished.order_by("pk"), "finished_at", now - _SEGMENTS_KEPT_FOR
        ),
    }


def _delete_oldest(rows: QuerySet, moment: str, before: datetime) -> int:
    # Rows are numbered as time goes: nothing but the oldest is looked at.
    oldest = rows.values_list("pk", moment)[:_DELETED_AT_ONCE]
    past = [pk for pk, at in oldest if at < before]
    return rows.model._default_manager.filter(pk__in=past).delete()[0]
