"""Cells that a spreadsheet does not take for formulas, and what stood in them before. Pure."""

import re

# What begins so is a formula to one program or another; wide forms count for some.
_SIGNS = "=+\\-@\t\r\n＝＋－＠"
# Quotes before a sign are guards already, or look like some: one more tells them apart.
_POSING = re.compile(rf" *'* *[{_SIGNS}]")
_GUARDED = re.compile(rf"'(?= *'* *[{_SIGNS}])")
# Where the comma is for decimals, spreadsheets split at semicolons, and see no quotes that
# begin after a comma: what follows begins a cell there.
_BEGINS_ELSEWHERE = re.compile(r"([;\t\r\n][ \"]*)(?='*[=+\-@＝＋－＠])")
_GUARDED_ELSEWHERE = re.compile(r"([;\t\r\n][ \"]*)'(?='*[=+\-@＝＋－＠])")


def guard(text: str) -> str:
    """Return the text as a cell that no spreadsheet runs."""
    guarded = f"'{text}" if _POSING.match(text) else text
    return _BEGINS_ELSEWHERE.sub(r"\1'", guarded)


def unguard(cell: str) -> str:
    """Return the text of which `guard` made this cell."""
    text = _GUARDED_ELSEWHERE.sub(r"\1", cell)
    return text[1:] if _GUARDED.match(text) else text
