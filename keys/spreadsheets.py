"""Tables as CSV, such that a spreadsheet which opens one runs nothing that is in it."""

import csv
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from django.http import StreamingHttpResponse

from keys.moves.guards import guard


class _Line:
    """Takes what a CSV writer writes and hands it on."""

    def write(self, text: str) -> str:
        return text


def answer(
    name: str, header: Iterable[Any], rows: Iterable[Iterable[Any]]
) -> StreamingHttpResponse:
    """Answer the table as a file of that name, made as it is sent and kept by no cache."""
    return StreamingHttpResponse(
        lines(header, rows),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}.csv"',
            "Cache-Control": "no-store",
        },
    )


def lines(header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Yield the table as lines of CSV, the header first; rows are read as they are needed."""
    writer = csv.writer(_Line())
    for row in chain([header], rows):
        yield writer.writerow([cell(value) for value in row])


def cell(value: Any) -> Any:
    """Return a value as a cell: text that poses as a formula is quoted, moments are in UTC."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds")
    if isinstance(value, int | float):
        return value
    return guard(str(value))
