"""From the bytes of a file to rows of values, whatever the bytes are.

CSV with a header, or one JSON object on each line, in UTF-8. A file is read as it comes:
however long it is, few rows are in memory. What cannot be read is a problem of its row.
"""

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from keys.moves.candidates import Problem, TroubleError
from keys.moves.values import parse_json

# Longer lines are no keys.
MAX_LINE_BYTES = 1_000_000
_SEPARATORS = ",;\t|"
_MAX_COLUMNS = 200

Row = tuple[int, Mapping[str, Any]]


def read(
    chunks: Iterable[bytes], pass_over: Callable[[], object] = lambda: None
) -> Iterator[Row | Problem]:
    """Yield each row as (its line, {column: value}), or the problem that it has.

    `pass_over` is called for each that is empty.

    The first line of CSV is its header. A problem without which nothing else could be told
    is the last that is yielded.
    """
    lines = _lines(chunks)
    first = next(lines, None)
    while first is not None and not isinstance(first, Problem) and not first[1].strip():
        pass_over()
        first = next(lines, None)
    if first is None:
        yield Problem(1, "", _("The file is empty."), _("Export the keys again."))
    elif isinstance(first, Problem):
        yield first
    elif first[1].lstrip().startswith("["):
        yield Problem(
            first[0],
            "",
            _("The file is one JSON list."),
            _("Write one object on each line, without commas between (JSON lines)."),
        )
    elif first[1].lstrip().startswith("{"):
        yield from _objects(itertools.chain([first], lines), pass_over)
    else:
        yield from _records(first, lines, pass_over)


def _lines(chunks: Iterable[bytes]) -> Iterator[tuple[int, str] | Problem]:
    """Yield numbered lines of text; after one that is none, the next that is."""
    for number, line in enumerate(_byte_lines(chunks), start=1):
        if number == 1:
            if line.startswith((b"\xff\xfe", b"\xfe\xff")):
                yield Problem(
                    1, "", _("The file is in UTF-16."), _("Save it as UTF-8 and try again.")
                )
                return
            line = line.removeprefix(b"\xef\xbb\xbf")
        if len(line) > MAX_LINE_BYTES:
            yield Problem(
                number,
                "",
                _("This line is longer than a key can be."),
                _("Check that each key is on a line of its own."),
            )
            continue
        try:
            yield number, line.decode("utf-8")
        except UnicodeDecodeError:
            yield Problem(
                number, "", _("This line is not UTF-8."), _("Save the file as UTF-8 and try again.")
            )


def _byte_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines with their ends; of one that is too long, only as much as shows that."""
    rest = b""
    for chunk in chunks:
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            yield rest + chunk[start : end + 1]
            rest, start = b"", end + 1
        rest += chunk[start : start + MAX_LINE_BYTES + 1 - len(rest)]
    if rest:
        yield rest


def _objects(
    lines: Iterable[tuple[int, str] | Problem], pass_over: Callable[[], object]
) -> Iterator[Row | Problem]:
    for line in lines:
        if isinstance(line, Problem):
            yield line
            continue
        number, text = line
        if not text.strip():
            pass_over()
            continue
        try:
            value = parse_json("", text)
            if not isinstance(value, dict):
                raise TroubleError("", _("This is no JSON object."), _("Write it as {…}."))
        except TroubleError as trouble:
            yield Problem(number, trouble.field, trouble.problem, trouble.fix)
        else:
            yield number, value


def _records(
    first: tuple[int, str],
    lines: Iterator[tuple[int, str] | Problem],
    pass_over: Callable[[], object],
) -> Iterator[Row | Problem]:
    separator = max(_SEPARATORS, key=first[1].count)
    source = _Source(itertools.chain([first], lines))
    reader = csv.reader(source, delimiter=separator, strict=True)
    header: list[str] | None = None
    while True:
        source.start = 0
        try:
            cells = next(reader)
        except StopIteration:
            yield from source.problems
            return
        except csv.Error:
            yield from source.problems
            yield Problem(
                source.start,
                "",
                _("The quotes of this row do not match."),
                _("Write a quote inside of a cell twice."),
            )
            return
        yield from source.problems
        source.problems.clear()
        start = source.start
        if header is None:
            header = [cell.strip() for cell in cells]
            if trouble := _trouble_of(header):
                yield Problem(start, "", *trouble)
                return
        elif any(cells):
            if len(cells) > len(header):
                yield Problem(
                    start,
                    "",
                    _("This row has more cells than the header."),
                    _("Put quotes around cells that hold the separator."),
                )
            else:
                yield start, dict(zip(header, cells, strict=False))
        else:
            pass_over()


class _Source:
    """Hands lines to a CSV reader, and keeps what was wrong with others for its caller."""

    def __init__(self, lines: Iterable[tuple[int, str] | Problem]) -> None:
        self._lines = iter(lines)
        # The first line of the row that is being read; 0: none yet.
        self.start = 0
        self.problems: list[Problem] = []

    def __iter__(self) -> "_Source":
        return self

    def __next__(self) -> str:
        for line in self._lines:
            if not isinstance(line, Problem):
                self.start = self.start or line[0]
                return line[1]
            self.problems.append(line)
        raise StopIteration


def _trouble_of(header: list[str]) -> tuple[str, str] | None:
    names = [name for name in header if name]
    if len(header) > _MAX_COLUMNS:
        return _("The header has too many columns."), _("Check the separator.")
    if not names or any(not name.isprintable() for name in names):
        return _("The first line is no header."), _("Name the columns in the first line.")
    if len(set(names)) < len(names):
        return _("Two columns have one name."), _("Name each column once.")
    return None
