"""Counts for people, who need no exact number of very many."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import IntegerField, Model, QuerySet, Subquery

MOST_COUNTED = 1000

Row = TypeVar("Row", bound=Model)


class BoundedCount(Subquery):
    """How many rows a correlated queryset has, of which no more than `most` + 1 are read."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) bounded)"
    output_field = IntegerField()
    # Of a queryset that is known to be empty.
    empty_result_set_value = 0

    def __init__(self, queryset: QuerySet, *, most: int = MOST_COUNTED) -> None:
        super().__init__(queryset.order_by().values("pk")[: most + 1])


@dataclass(frozen=True)
class Some(Generic[Row]):
    """The first of some rows, and how many there are: exactly up to MOST_COUNTED."""

    rows: list[Row]
    count: int

    @classmethod
    def of(cls, queryset: QuerySet[Row], most: int) -> "Some[Row]":
        """Return no more than `most` rows of the queryset, in at most two queries."""
        rows = list(queryset[: most + 1])
        if len(rows) <= most:
            return cls(rows, len(rows))
        return cls(rows[:most], queryset.order_by()[: MOST_COUNTED + 1].count())

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def more(self) -> int:
        """How many there are besides `rows`."""
        return self.count - len(self.rows)
