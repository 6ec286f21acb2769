"""Pages of rows that are few enough to be counted, reached by their numbers."""

from typing import TypeVar

from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)


def take_numbered(queryset: QuerySet[Row], number: str | None, size: int) -> Page[Row]:
    """Return the page of that number, or the nearest that there is."""
    return Paginator(queryset, size).get_page(number)
