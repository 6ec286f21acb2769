"""Charts, drawn on the server: SVG without scripts or styles, each with the same as a table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from django import template
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from keys.verification import Code

register = template.Library()


@dataclass(frozen=True)
class Group:
    """Outcomes that mean the same to whoever looks at a chart."""

    name: str
    label: str | Promise
    codes: frozenset[Code]


_SAID_BY_THE_KEY = frozenset(
    {Code.VALID, Code.LIMIT_EXCEEDED, Code.FORBIDDEN_ADDRESS, Code.INSUFFICIENT_SCOPES}
)

# From the bottom of a column to its top.
GROUPS = (
    Group("accepted", _("Accepted"), frozenset({Code.VALID})),
    Group("limit", _("Limit exceeded"), frozenset({Code.LIMIT_EXCEEDED})),
    Group("address", _("Address not allowed"), frozenset({Code.FORBIDDEN_ADDRESS})),
    Group("scopes", _("Scope missing"), frozenset({Code.INSUFFICIENT_SCOPES})),
    Group("state", _("Key not usable"), frozenset(Code) - _SAID_BY_THE_KEY),
)

# In units of the drawing, which is stretched to the space there is.
_HEIGHT = 100
_COLUMN = 10
_GAP = 2


@dataclass(frozen=True)
class Bar:
    """One part of a column."""

    group: Group
    y: float
    height: float


@dataclass(frozen=True)
class Column:
    """The outcomes of one day."""

    day: date
    x: int
    bars: list[Bar]
    counts: list[int]

    @property
    def total(self) -> int:
        return sum(self.counts)


@register.inclusion_tag("components/outcome_chart.html")
def outcome_chart(days: Sequence[tuple[date, Mapping[str, int]]], heading_id: str) -> dict:
    """Draw requests a day, stacked by outcome. `days`: (day, {verification code: requests})."""
    counts = [[_sum(outcomes, group) for group in GROUPS] for _day, outcomes in days]
    top = _round_up(max((sum(each) for each in counts), default=0))
    columns = [
        Column(day, index * _COLUMN, _stack(each, top), each)
        for index, ((day, _outcomes), each) in enumerate(zip(days, counts, strict=True))
    ]
    totals = [sum(column.counts[index] for column in columns) for index in range(len(GROUPS))]
    return {
        "columns": columns,
        "groups": GROUPS,
        "legend": [(group, total) for group, total in zip(GROUPS, totals, strict=True) if total],
        "total": sum(totals),
        "top": top,
        "width": len(columns) * _COLUMN,
        "height": _HEIGHT,
        "bar_width": _COLUMN - _GAP,
        "heading_id": heading_id,
    }


@register.inclusion_tag("components/sparkline.html")
def sparkline(days: Sequence[tuple[date, Mapping[str, int]]]) -> dict:
    """Draw the requests of each day as small columns, refused ones on top in another colour."""
    totals = [(_sum(outcomes, GROUPS[0]), sum(outcomes.values())) for _day, outcomes in days]
    top = max((total for _accepted, total in totals), default=0) or 1
    return {
        "columns": [
            {
                "x": index * _COLUMN,
                "accepted": _scale(accepted, top),
                "accepted_y": _HEIGHT - _scale(accepted, top),
                "refused": _scale(total - accepted, top),
                "refused_y": _HEIGHT - _scale(total, top),
            }
            for index, (accepted, total) in enumerate(totals)
        ],
        "accepted": sum(accepted for accepted, _total in totals),
        "refused": sum(total - accepted for accepted, total in totals),
        "days": len(totals),
        "width": max(len(totals), 1) * _COLUMN,
        "height": _HEIGHT,
        "bar_width": _COLUMN - _GAP,
    }


def _sum(outcomes: Mapping[str, int], group: Group) -> int:
    return sum(requests for code, requests in outcomes.items() if code in group.codes)


def _stack(counts: Iterable[int], top: int) -> list[Bar]:
    bars, y = [], float(_HEIGHT)
    for group, count in zip(GROUPS, counts, strict=True):
        if count:
            height = _scale(count, top)
            y -= height
            bars.append(Bar(group, round(y, 2), height))
    return bars


def _scale(count: int, top: int) -> float:
    return round(count / top * _HEIGHT, 2)


def _round_up(number: int) -> int:
    """Return the next round number, so that the scale and its middle read well."""
    step = 1
    while True:
        for factor in (1, 2, 4, 6, 8):
            if factor * step >= number:
                return factor * step
        step *= 10
