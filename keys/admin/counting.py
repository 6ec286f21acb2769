"""Counts that cost the same in a large installation as in a small one."""

from dataclasses import dataclass

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.formats import number_format
from django.utils.functional import cached_property

# Nobody leafs through more, and no page waits for the rest to be counted.
MOST_COUNTED = 10_000


@dataclass(frozen=True)
class Count:
    """How many there are, or that there are more than anybody waits for."""

    number: int
    is_more: bool = False

    def __bool__(self) -> bool:
        return self.number > 0

    def __str__(self) -> str:
        """Return it for people, in groups as their language has them: `1,204`, `10,000+`."""
        text = number_format(self.number, force_grouping=True)
        return f"{text}+" if self.is_more else text


def count_up_to(queryset: QuerySet, most: int = MOST_COUNTED) -> Count:
    """Count the rows, but stop where there are more than `most`.

    What it reads is bounded where rows of the set are common. Where they are rare it reads
    the table to its end, so it is for keys, people and organizations, not for their use.
    """
    number = queryset.order_by()[: most + 1].count()
    return Count(min(number, most), number > most)


class BoundedPaginator(Paginator):
    """Pages of a list of which only so much is counted, and leafed through."""

    @cached_property
    def total(self) -> Count:
        return count_up_to(self.object_list)

    @property
    def count(self) -> int:
        return self.total.number
