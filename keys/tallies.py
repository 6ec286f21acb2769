"""Uses that are counted together, and how they are added to every table that counts uses.

A few statements for any number of uses, on each database. Rows are changed in the order of
their keys, table after table: hosts that add at the same moment wait for each other, and
never in a circle. Organizations come last, so that their few rows are held for a moment.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import Sum

from keys.models import (
    APIKey,
    KeySecret,
    KeyUsage,
    MinuteBucket,
    Organization,
    OrganizationBucket,
    OrganizationMinute,
    ScopeUse,
    UsageBucket,
)
from keys.models.usage import LimitReset
from keys.upserts import (
    MOST,
    capped_sums,
    column,
    execute_for,
    insert,
    is_postgresql,
    latest,
    rows_of,
    sums,
    table,
    upsert,
)
from keys.verification import Code

_log = logging.getLogger(__name__)

_ACCEPTED = Code.VALID.value


class Tally(NamedTuple):
    """Uses of a key in one minute that are the same but for the moment and the address.

    Costs are of each, in millionths. The last moment and address are of the newest.
    `is_charged`: totals and hours have them already. `is_grant`: no uses of their own, but
    scopes that let a use through.
    """

    secret_id: int
    key_id: int
    minute: datetime
    outcome: str
    requests: int
    last_at: datetime
    last_address: str | None = None
    user_agent: str = ""
    scopes: tuple[str, ...] = ()
    cost: int = 0
    byok_cost: int = 0
    is_charged: bool = False
    is_grant: bool = False

    @property
    def is_accepted(self) -> bool:
        return self.outcome == _ACCEPTED


class _Terms(NamedTuple):
    """Whose a secret is, and what counts against that key's limit since when."""

    organization_id: int
    key_id: int
    limit_reset: str | None
    include_byok: bool


class _TermsChangedError(Exception):
    pass


def apply(tallies: Sequence[Tally]) -> set[int]:
    """Add uses to the totals, hours, minutes, scopes and secrets that they belong to.

    Those of a secret that there is not (it was deleted with its organization, or the
    database is another) are dropped, and the log says so. Return the secrets that there are.
    """
    while True:
        try:
            with transaction.atomic():
                return _apply(tallies)
        except _TermsChangedError:
            continue


def add_hours(tallies: Iterable[Tally]) -> None:
    """Add uses to the hours alone, as is done at once for those that are charged."""
    counted: dict[tuple, list[int]] = defaultdict(lambda: [0, 0, 0])
    for each in tallies:
        row = counted[each.secret_id, _hour(each.minute), each.outcome, each.key_id]
        row[0] += each.requests
        if each.is_accepted:
            row[1] += each.requests * each.cost
            row[2] += each.requests * each.byok_cost
    upsert(
        UsageBucket,
        ("secret", "hour", "outcome", "key", "requests", "cost", "byok_cost"),
        [
            (*of, requests, min(cost, MOST), min(byok_cost, MOST))
            for of, (requests, cost, byok_cost) in sorted(counted.items())
        ],
        same=3,
        changes={**sums("requests"), **capped_sums("cost", "byok_cost")},
    )


def recount(organization: Organization) -> None:
    """Sum up the hours and minutes of an organization's keys anew; these were written past us."""
    models: tuple = (
        (UsageBucket, OrganizationBucket, "hour"),
        (MinuteBucket, OrganizationMinute, "minute"),
    )
    for of_keys, model, moment in models:
        rows = of_keys.objects.filter(key__organization=organization).order_by()
        # Numbered as time goes.
        counted = (
            rows.values_list(moment, "outcome")
            .annotate(Sum("requests"))
            .order_by(moment, "outcome")
        )
        with transaction.atomic():
            model.objects.filter(organization=organization).delete()
            insert(
                model,
                ("organization", moment, "outcome", "requests"),
                [(organization.pk, *row) for row in counted],
            )


def _apply(tallies: Sequence[Tally]) -> set[int]:
    numbers = sorted({each.secret_id for each in tallies})
    terms = _load_terms(numbers)
    known = [
        each
        for each in tallies
        if each.secret_id in terms and terms[each.secret_id].key_id == each.key_id
    ]
    if len(known) < len(tallies):
        lost = sum(each.requests for each in tallies) - sum(each.requests for each in known)
        _log.warning("%d uses of secrets that are not in this database were dropped.", lost)
    uses = [each for each in known if not each.is_grant]
    uncharged = [each for each in uses if not each.is_charged]
    _add_totals(uncharged, terms)
    add_hours(uncharged)
    _add_minutes(uses)
    _add_scopes(each for each in known if each.is_accepted)
    _note_last_uses(each for each in uses if each.is_accepted)
    # Whoever changes the terms of a limit waits for its totals, from here on: in what is
    # counted anew are these uses too. Somebody may have done so before, though.
    if connection.features.has_select_for_update and _load_terms(numbers) != terms:
        raise _TermsChangedError
    # Last: hosts that add uses of one organization wait for each other from here on.
    _add_to_organizations(uses, terms)
    return {each.secret_id for each in known}


def _load_terms(numbers: Sequence[int]) -> dict[int, _Terms]:
    listed, parameter = (
        ("= ANY(%s)", list(numbers))
        if is_postgresql()
        else ("IN (SELECT value FROM json_each(%s))", json.dumps(list(numbers)))
    )
    terms = ", ".join(
        f"k.{column(APIKey, name)}"
        for name in ("organization", "id", "limit_reset", "include_byok_in_limit")
    )
    secret_id = f"s.{column(KeySecret, 'id')}"
    sql = (
        f"SELECT {secret_id}, {terms} FROM {table(KeySecret)} s "  # noqa: S608
        f"JOIN {table(APIKey)} k ON k.{column(APIKey, 'id')} = s.{column(KeySecret, 'key')} "
        f"WHERE {secret_id} {listed}"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [parameter])
        return {
            pk: _Terms(organization, key, reset, bool(byok))
            for pk, organization, key, reset, byok in cursor.fetchall()
        }


class _Totals:
    """What one key's totals grow by."""

    __slots__ = ("byok_cost", "cost", "last", "period_cost", "period_start", "refused", "requests")

    def __init__(self) -> None:
        self.requests = self.refused = self.cost = self.byok_cost = self.period_cost = 0
        self.period_start: datetime | None = None
        self.last: Tally | None = None

    def add(self, tally: Tally, terms: _Terms) -> None:
        if not tally.is_accepted:
            self.refused += tally.requests
            return
        cost, byok_cost = tally.requests * tally.cost, tally.requests * tally.byok_cost
        self.requests += tally.requests
        self.cost += cost
        self.byok_cost += byok_cost
        start = _period_start(terms.limit_reset, tally.minute)
        if start and (self.period_start is None or self.period_start < start):
            # What belongs to a period that is over counts against no limit any more.
            self.period_start, self.period_cost = start, 0
        if start == self.period_start:
            self.period_cost += cost + byok_cost if terms.include_byok else cost
        if self.last is None or self.last.last_at <= tally.last_at:
            self.last = tally

    def row(self, key_id: int) -> tuple:
        last = self.last
        used = (last.last_at, last.last_address, last.user_agent) if last else (None, None, "")
        counted = (self.requests, self.refused, min(self.cost, MOST), min(self.byok_cost, MOST))
        period = (self.period_start, min(self.period_cost, MOST))
        return (key_id, *counted, *period, *used)


_TOTALS_FIELDS = (
    *("key", "requests", "refused", "cost", "byok_cost", "period_start", "period_cost"),
    *("last_used_at", "last_address", "last_user_agent"),
)
_OF_LATER_USE = (
    "CASE WHEN {{new.last_used_at}} IS NULL OR {{old.last_used_at}} > {{new.last_used_at}} "
    "THEN {{old.{0}}} ELSE {{new.{0}}} END"
)
_TOTALS_CHANGES = {
    **sums("requests", "refused"),
    **capped_sums("cost", "byok_cost"),
    # A period that is over is not begun again by uses that are added late.
    "period_cost": (
        "CASE WHEN {new.period_start} IS NULL OR {old.period_start} = {new.period_start} "
        f"THEN {capped_sums('period_cost')['period_cost']} "
        "WHEN {old.period_start} > {new.period_start} THEN {old.period_cost} "
        "ELSE {new.period_cost} END"
    ),
    **latest("period_start", "last_used_at"),
    **{name: _OF_LATER_USE.format(name) for name in ("last_address", "last_user_agent")},
}


def _add_totals(tallies: Iterable[Tally], terms: dict[int, _Terms]) -> None:
    totals: dict[int, _Totals] = defaultdict(_Totals)
    for each in tallies:
        totals[each.key_id].add(each, terms[each.secret_id])
    rows = [totals[key_id].row(key_id) for key_id in sorted(totals)]
    upsert(KeyUsage, _TOTALS_FIELDS, rows, same=1, changes=_TOTALS_CHANGES)


@lru_cache(maxsize=64)
def _period_start(reset: str | None, minute: datetime) -> datetime | None:
    return LimitReset.period_start(reset, minute)


@lru_cache(maxsize=64)
def _hour(minute: datetime) -> datetime:
    return minute.replace(minute=0)


def _add_minutes(tallies: Iterable[Tally]) -> None:
    counted: dict[tuple, int] = defaultdict(int)
    for each in tallies:
        counted[each.key_id, each.minute, each.outcome] += each.requests
    upsert(
        MinuteBucket,
        ("key", "minute", "outcome", "requests"),
        [(*of, requests) for of, requests in sorted(counted.items())],
        same=3,
        changes=sums("requests"),
    )


def _add_to_organizations(tallies: Iterable[Tally], terms: dict[int, _Terms]) -> None:
    hours: dict[tuple, int] = defaultdict(int)
    minutes: dict[tuple, int] = defaultdict(int)
    for each in tallies:
        organization_id = terms[each.secret_id].organization_id
        hours[organization_id, _hour(each.minute), each.outcome] += each.requests
        minutes[organization_id, each.minute, each.outcome] += each.requests
    models: tuple = ((OrganizationBucket, "hour", hours), (OrganizationMinute, "minute", minutes))
    for model, moment, counted in models:
        upsert(
            model,
            ("organization", moment, "outcome", "requests"),
            [(*of, requests) for of, requests in sorted(counted.items())],
            same=3,
            changes=sums("requests"),
        )


def _add_scopes(tallies: Iterable[Tally]) -> None:
    counted: dict[tuple[int, str], int] = defaultdict(int)
    last: dict[tuple[int, str], datetime] = {}
    for each in tallies:
        for code in each.scopes:
            of = each.key_id, code
            counted[of] += each.requests
            last[of] = max(last.get(of, each.last_at), each.last_at)
    upsert(
        ScopeUse,
        ("key", "code", "requests", "last_used_at"),
        [(*of, requests, last[of]) for of, requests in sorted(counted.items())],
        same=2,
        changes={**sums("requests"), **latest("last_used_at")},
    )


def _note_last_uses(tallies: Iterable[Tally]) -> None:
    last: dict[int, datetime] = {}
    for each in tallies:
        last[each.secret_id] = max(last.get(each.secret_id, each.last_at), each.last_at)
    secrets, pk = table(KeySecret), column(KeySecret, "id")
    used = column(KeySecret, "last_used_at")
    rows = sorted(last.items())
    if is_postgresql():
        fields = ("id", "last_used_at")
        # Locked in order: an UPDATE alone takes the rows as they come.
        newer = (
            f"SELECT use.* FROM {rows_of(KeySecret, fields, 'use')} "  # noqa: S608
            f"JOIN {secrets} s ON s.{pk} = use.id "
            f"WHERE s.{used} IS NULL OR s.{used} < use.last_used_at "
            f"ORDER BY s.{pk} FOR NO KEY UPDATE OF s"
        )
        sql = (
            f"UPDATE {secrets} SET {used} = newer.last_used_at FROM ({newer}) AS newer "  # noqa: S608
            f"WHERE {secrets}.{pk} = newer.id"
        )
        execute_for(sql, KeySecret, fields, rows)
    else:
        sql = (
            f"UPDATE {secrets} SET {used} = %s WHERE {pk} = %s "  # noqa: S608
            f"AND ({used} IS NULL OR {used} < %s)"
        )
        moments = [(at, pk, at) for pk, at in rows]
        execute_for(sql, KeySecret, ("last_used_at", "id", "last_used_at"), moments)
