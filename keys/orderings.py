"""In which order keys are listed, and which page of a list is shown.

Pages begin after a key, not at a number: the last of very many costs what the first does.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from django.db.models import (
    BooleanField,
    Exists,
    Expression,
    F,
    Func,
    Model,
    OuterRef,
    Q,
    QuerySet,
    Value,
)
from django.db.models.functions import Lower
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from keys import search
from keys.models import APIKey, KeyUsage
from keys.models.keys import END
from keys.models.usage import last_use

PAGE_SIZE = 25

Row = TypeVar("Row", bound=Model)


class Beyond(Func):
    """Whether one pair of values comes after another, in the order of an index on both."""

    output_field = BooleanField()
    conditional = True

    def __init__(self, *pairs: Any, descending: bool) -> None:
        super().__init__(*pairs)
        self.sign = "<" if descending else ">"

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **extra: Any) -> Any:
        compiled = [compiler.compile(each) for each in self.get_source_expressions()]
        position, pk, other_position, other_pk = (sql for sql, _parameters in compiled)
        sql = f"({position}, {pk}) {self.sign} ({other_position}, {other_pk})"
        return sql, [each for _sql, parameters in compiled for each in parameters]


@dataclass(frozen=True)
class Ordering:
    """An order of rows: by an expression that is never null, then by age."""

    label: str | Promise
    position: Callable[[], Expression | F]
    descending: bool = False
    # Whether the position is of the key's usage, which has an index of its own.
    is_of_usage: bool = False
    # Whether the rows are rather among the oldest, and no index tells which they are.
    are_old: bool = False
    # How many are therefore looked at for one page, where they come by number.
    most_looked_at: int | None = None

    @property
    def is_of_number(self) -> bool:
        """Whether keys come as they were numbered, along which all of their indexes go."""
        return self.position() == F("pk")

    def apart(self) -> "Ordering":
        """Return the same order for rows that are to be found first and sorted then.

        Databases rather walk along an order, expecting what is asked for everywhere.
        """
        return replace(self, position=lambda: self.position() + Value(0))

    def of_old(self, *, most_looked_at: int | None = None) -> "Ordering":
        """Return the same order for rows that are looked for one by one, from the oldest on."""
        return replace(self, are_old=True, most_looked_at=most_looked_at)

    def sort(self, rows: QuerySet, *, backwards: bool = False) -> QuerySet:
        """Return the rows with `position`, in this order or in its reverse."""
        return self._sort(rows.annotate(position=self.position()), backwards)

    def sort_usage(self, rows: QuerySet, *, backwards: bool = False) -> QuerySet:
        """Return rows of the usage of keys with `position`, in this order or in its reverse."""
        return self._sort(rows.annotate(position=last_use("last_used_at")), backwards)

    def _sort(self, rows: QuerySet, backwards: bool) -> QuerySet:
        sign = "-" if self.descending is not backwards else ""
        return rows.order_by(f"{sign}position", f"{sign}pk")

    def beyond(self, position: Any, pk: Any, *, backwards: bool = False) -> Q:
        """Return the condition that sorted rows come after that place, or before it."""
        place = (F("position"), F("pk"), Value(position), Value(pk))
        return Q(Beyond(*place, descending=self.descending is not backwards))


def _last_used() -> Expression:
    return last_use("totals__last_used_at")


ORDERINGS = {
    "-created_at": Ordering(_("Newest first"), lambda: F("pk"), descending=True),
    "created_at": Ordering(_("Oldest first"), lambda: F("pk")),
    "name": Ordering(_("Name, A to Z"), lambda: Lower("name")),
    "-name": Ordering(_("Name, Z to A"), lambda: Lower("name"), descending=True),
    "-last_used_at": Ordering(_("Last used first"), _last_used, descending=True, is_of_usage=True),
    "last_used_at": Ordering(_("Longest unused first"), _last_used, is_of_usage=True),
    "expires_at": Ordering(_("Expiring first"), lambda: END),
    "-expires_at": Ordering(_("Expiring last"), lambda: END, descending=True),
}
DEFAULT_ORDERING = "-created_at"


@dataclass(frozen=True)
class Page:
    """Some keys of a list, and the places from which its neighbours are reached."""

    keys: list[APIKey]
    # Identifiers of the first and last key when there is something before or after them.
    before: str | None
    after: str | None
    # How many keys were looked at for it, where it therefore ends before it is full.
    cut_short_after: int | None = None
    # Whether it holds none since it begins at a place: there may be keys on this side of that.
    is_beyond_all: bool = False


_IDENTIFIER = re.compile(r"[a-z0-9]{24}")


def take_page(
    keys: QuerySet[APIKey],
    ordering: Ordering,
    *,
    after: str = "",
    before: str = "",
    size: int = PAGE_SIZE,
    among: QuerySet[APIKey] | None = None,
) -> Page:
    """Return the keys next to the one with that identifier, without counting them all.

    Without an identifier, or with one that the list does not hold, it is the first page.
    `among` is the list before it was narrowed, where it was.
    """
    everything = keys if among is None else among
    place = _find_place(everything, ordering, before or after)
    backwards = bool(before) and place is not None
    edge, most = None, ordering.most_looked_at
    if most is not None and ordering.is_of_number:
        edge = _find_edge(everything, ordering, place, most, backwards=backwards)
    if edge is not None:
        is_down = ordering.descending is not backwards
        keys = keys.filter(pk__gte=edge.pk) if is_down else keys.filter(pk__lte=edge.pk)
    found = take_rows(keys, ordering, place=place, count=size + 1, backwards=backwards, among=among)
    has_more = len(found) > size
    found = found[:size]
    back = found[0].identifier if found and place else None
    on = found[-1] if has_more else edge
    forth = on.identifier if on else None
    if backwards:
        found, back, forth = found[::-1], forth, back
    return Page(
        found,
        before=back,
        after=forth,
        cut_short_after=most if edge is not None and not has_more else None,
        is_beyond_all=place is not None and not found,
    )


def take_rows(
    rows: QuerySet[Row],
    ordering: Ordering,
    *,
    place: tuple[Any, Any] | None,
    count: int,
    backwards: bool = False,
    among: QuerySet[Row] | None = None,
) -> list[Row]:
    """Return so many rows that come next after that place (`position` and number), or before it.

    `among` is the list before it was narrowed, the same where it was not. Rows are sorted as
    numbers alone: databases sort whole rows far slower, but where their index sorts them all.
    """
    if among is rows and ordering.is_of_number:
        return list(_walk(rows, ordering, place, backwards=backwards)[:count])
    are_many = not ordering.is_of_number and search.has_many(rows if among is None else among)
    few = None
    if are_many and among is not None:
        few = search.numbers_of_few(rows, from_oldest=ordering.are_old)
    if few is not None:
        # To meet few on the way along an order of very many is to read nearly all.
        walked: QuerySet = ordering.sort(
            rows.model._default_manager.filter(pk__in=few), backwards=backwards
        )
    elif ordering.is_of_usage and are_many:
        # Read in the order of the usage's own index, which a join would not keep to.
        used = KeyUsage.objects.filter(Exists(rows.order_by().filter(pk=OuterRef("pk"))))
        walked = ordering.sort_usage(used, backwards=backwards)
    else:
        walked = ordering.sort(rows, backwards=backwards)
    if place:
        walked = walked.filter(ordering.beyond(*place, backwards=backwards))
    numbers = list(walked.values_list("pk", flat=True)[:count])
    # In a query of their own: one that sorts them once more may be answered by reading all.
    found = rows.order_by().in_bulk(numbers)
    return [found[number] for number in numbers if number in found]


def _find_edge(
    keys: QuerySet[APIKey],
    ordering: Ordering,
    place: tuple[Any, Any] | None,
    most: int,
    *,
    backwards: bool,
) -> APIKey | None:
    """Return the last of so many keys beyond that place, None if there are not more."""
    walked = _walk(keys, ordering, place, backwards=backwards).only("identifier")
    last = list(walked[most - 1 : most + 1])
    return last[0] if len(last) == 2 else None


def _walk(
    rows: QuerySet[Row], ordering: Ordering, place: tuple[Any, Any] | None, *, backwards: bool
) -> QuerySet[Row]:
    walked = ordering.sort(rows, backwards=backwards)
    return walked.filter(ordering.beyond(*place, backwards=backwards)) if place else walked


def _find_place(
    keys: QuerySet[APIKey], ordering: Ordering, identifier: str
) -> tuple[object, int] | None:
    if not _IDENTIFIER.fullmatch(identifier):
        return None
    rows = ordering.sort(keys).filter(identifier=identifier)
    return rows.values_list("position", "pk").first()
