"""Pages of rows that are shown newest first, reached by the numbers of their rows."""

import re
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class Rows(Generic[Row]):
    """Some rows, and the numbers from which newer and older ones are reached, if there are."""

    rows: list[Row]
    newer: int | None
    older: int | None


def newest_first(queryset: QuerySet[Row], *, after: str, before: str, size: int) -> Rows[Row]:
    """Return the rows that come after the row of that number, or before it.

    Never counts them all. Without a number, or with what is none, it is the first page.
    """
    backwards = bool(_NUMBER.fullmatch(before))
    inside = backwards or bool(_NUMBER.fullmatch(after))
    if backwards:
        queryset = queryset.filter(pk__gt=int(before)).order_by("pk")
    elif inside:
        queryset = queryset.filter(pk__lt=int(after)).order_by("-pk")
    else:
        queryset = queryset.order_by("-pk")
    found = list(queryset[: size + 1])
    has_more = len(found) > size
    found = found[:size]
    if backwards:
        found.reverse()
    has_newer, has_older = (has_more, True) if backwards else (inside, has_more)
    return Rows(
        found,
        newer=found[0].pk if found and has_newer else None,
        older=found[-1].pk if found and has_older else None,
    )
