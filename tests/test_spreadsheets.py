"""Files for spreadsheets: whole, and inert."""

import csv
import io
from datetime import UTC, datetime, timedelta, timezone

import pytest

from keys import spreadsheets


def read(header, rows) -> list[list[str]]:
    """Return the table as a reader of CSV understands it."""
    return list(csv.reader(io.StringIO("".join(spreadsheets.lines(header, rows)), newline="")))


def test_table_comes_back_as_it_was():
    rows = [["Acme, Inc.", 'say "hello"', 3, None], ["two\nlines", "ü 🗝", -5, ""]]

    assert read(["Name", "Text", "Number", "Nothing"], rows) == [
        ["Name", "Text", "Number", "Nothing"],
        ["Acme, Inc.", 'say "hello"', "3", ""],
        ["two\nlines", "ü 🗝", "-5", ""],
    ]


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "＝1", "  =1", '=HYPERLINK("http://x")'],
)
def test_text_that_poses_as_a_formula_is_text(text):
    assert spreadsheets.cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("text", "inert"),
    [
        ("a;=1", "a;'=1"),
        ("a; @SUM(A1)", "a; '@SUM(A1)"),
        ('a;"=1', "a;\"'=1"),
        ("a\t+1", "a\t'+1"),
        ("\t=1", "'\t'=1"),
        ("a\n=1\r\n-1", "a\n'=1\r\n'-1"),
    ],
)
def test_text_poses_as_no_formula_where_another_sign_splits_cells(text, inert):
    assert spreadsheets.cell(text) == inert


@pytest.mark.parametrize("text", ["a; b=1", "a=b", "1+1", "owner@acme.example", "kh_abc...xyz", ""])
def test_ordinary_text_stays_as_it_is(text):
    assert spreadsheets.cell(text) == text


def test_moments_are_in_utc_to_the_second():
    moment = datetime(2026, 11, 21, 15, 3, 7, 9, tzinfo=timezone(timedelta(hours=1)))

    assert spreadsheets.cell(moment) == "2026-11-21T14:03:07+00:00"
    assert spreadsheets.cell(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00+00:00"


def test_rows_are_read_one_at_a_time():
    def rows():
        yield ["first"]
        raise AssertionError("read ahead")

    lines = spreadsheets.lines(["Name"], rows())

    assert [next(lines), next(lines)] == ["Name\r\n", "first\r\n"]
