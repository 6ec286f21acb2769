"""The geometry of charts: from what was counted to places in a drawing. Pure.

Places are per cent of the drawing's width and height, from its upper left corner, so that
a drawing fills whatever space there is without distorting the words in it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from keys.series import Slot, Spending
from keys.verification import Code

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)

# Of a column's width, what is drawn; the rest is the gap to the next.
_FILL = 0.76
# What is counted is seen, however little it is of the whole: so high at least.
_LEAST = 1.4
# Words closer to an edge than this would stand out over it.
_EDGE = 4.0

# Step of the slots -> how far apart are the moments that are named below the drawing.
_MARKS = {
    timedelta(minutes=1): timedelta(minutes=10),
    _HOUR: 4 * _HOUR,
    6 * _HOUR: _DAY,
    _DAY: 5 * _DAY,
}
_MOST_MARKS = 8


@dataclass(frozen=True)
class Group:
    """Outcomes that mean the same to whoever looks at a chart."""

    name: str
    label: str | Promise
    codes: frozenset[Code]

    def count(self, slot: Slot) -> int:
        """Return how many requests of a slot ended so."""
        return sum(requests for code, requests in slot.outcomes.items() if code in self.codes)


_SAID_BY_THE_KEY = frozenset(
    {
        Code.VALID,
        Code.LIMIT_EXCEEDED,
        Code.RATE_LIMITED,
        Code.FORBIDDEN_ADDRESS,
        Code.INSUFFICIENT_SCOPES,
    }
)

# From the bottom of a column to its top.
GROUPS = (
    Group("accepted", _("Accepted"), frozenset({Code.VALID})),
    Group("limit", _("Limit exceeded"), frozenset({Code.LIMIT_EXCEEDED})),
    Group("rate", _("Used too often"), frozenset({Code.RATE_LIMITED})),
    Group("address", _("Address not allowed"), frozenset({Code.FORBIDDEN_ADDRESS})),
    Group("scopes", _("Scope missing"), frozenset({Code.INSUFFICIENT_SCOPES})),
    Group("state", _("Key not usable"), frozenset(Code) - _SAID_BY_THE_KEY),
)


@dataclass(frozen=True)
class Bar:
    """One part of a column, of one group of outcomes."""

    group: Group
    y: float
    height: float


@dataclass(frozen=True)
class Column:
    """The outcomes of one slot; `hit_x` and `hit_width` include the gap around it."""

    start: datetime
    x: float
    width: float
    hit_x: float
    hit_width: float
    bars: list[Bar]
    counts: list[int]

    @property
    def total(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True)
class Mark:
    """A moment named below the drawing; `is_minor`: left out where there is little space."""

    moment: datetime
    x: float
    anchor: str = "middle"
    is_minor: bool = False


def columns_of(slots: Sequence[Slot], top: int) -> list[Column]:
    """Return a column for each slot; one as high as the drawing would count `top`."""
    width = 100 / max(len(slots), 1)
    return [
        Column(
            start=slot.start,
            x=_round(index * width + width * (1 - _FILL) / 2),
            width=_round(width * _FILL),
            hit_x=_round(index * width),
            hit_width=_round(width),
            bars=_stack([group.count(slot) for group in GROUPS], top),
            counts=[group.count(slot) for group in GROUPS],
        )
        for index, slot in enumerate(slots)
    ]


def marks_of(slots: Sequence[Slot]) -> list[Mark]:
    """Return the round moments among the slots, where people look for them."""
    if len(slots) < 2:
        return []
    step = slots[1].start - slots[0].start
    every = _MARKS.get(step, _DAY)
    while len(slots) * step / every > _MOST_MARKS:
        every *= 2
    # Days are counted back from today; anything shorter has round moments of its own.
    origin = slots[-1].start if every > _DAY else _midnight(slots[0].start)
    places = [
        (slot.start, 100 * index / len(slots))
        for index, slot in enumerate(slots)
        if (slot.start - origin) % every == timedelta(0)
    ]
    half = 50 / len(slots) if step == _DAY else 0
    return [
        Mark(moment, _round(x + half), _anchor(x + half), is_minor=(len(places) - index) % 2 == 0)
        for index, (moment, x) in enumerate(places)
    ]


def round_up(number: int) -> int:
    """Return the next round number, so that the scale and its middle read well."""
    step = 1
    while True:
        for factor in (1, 2, 4, 6, 8):
            if factor * step >= number:
                return factor * step
        step *= 10


def curve_of(slots: Sequence[Slot], top: int, since: datetime | None = None) -> str:
    """Return the requests of slots as the points of an SVG line in 100 by 100.

    It begins with the slot of the moment `since`: before, there was nothing to count.
    """
    width = 100 / max(len(slots), 1)
    ends = [*(slot.start for slot in slots[1:]), None]
    return " ".join(
        f"{_round((index + 0.5) * width)},{_round(100 - 100 * slot.total / (top or 1))}"
        for index, (slot, end) in enumerate(zip(slots, ends, strict=True))
        if since is None or end is None or end > since
    )


def sparkline_paths(slots: Sequence[Slot]) -> tuple[str, str]:
    """Return the accepted and, on top of them, the refused of each slot as two SVG paths.

    The drawing is 100 high, and 10 wide for each slot.
    """
    used = [(index, slot) for index, slot in enumerate(slots) if slot.outcomes]
    top = max((slot.total for _index, slot in used), default=0) or 1
    accepted, refused = [], []
    for index, slot in used:
        low = 100 - _height(slot.accepted, top, least=4)
        high = low - _height(slot.refused, top, least=4)
        if slot.accepted:
            accepted.append(_box(index * 10 + 1, low, 100))
        if slot.refused:
            refused.append(_box(index * 10 + 1, high, low))
    return "".join(accepted), "".join(refused)


@dataclass(frozen=True)
class BurnDown:
    """What is left of a limit, drawn: an SVG area and lines in 100 by 100, and their marks.

    `projection` goes on at the pace of late, `even` is what would last exactly until the
    end; either may be empty. `now_x` is where now is.
    """

    area: str
    line: str
    projection: str
    even: str
    now_x: float
    now_y: float
    marks: list[Mark]


def burn_down_of(spending: Spending) -> BurnDown:
    """Return how a limit is used up, from its period's begin to its end."""
    now = spending.points[-1][0]
    # Without a reset the drawing ends where nothing is left, if that is not too far off.
    horizon = now + (now - spending.started_at)
    end = spending.ends_at or min(spending.exhausted_at or now, horizon)
    length = max(end - spending.started_at, timedelta(seconds=1))

    def x(moment: datetime) -> float:
        return _round(100 * min((moment - spending.started_at) / length, 1))

    def y(spent: Decimal) -> float:
        left = max(spending.limit - spent, Decimal(0))
        return _round(100 - float(100 * left / spending.limit) if spending.limit else 100)

    places = [(x(moment), y(spent)) for moment, spent in spending.points]
    line = " ".join(f"{left},{top}" for left, top in places)
    now_x, now_y = places[-1]
    return BurnDown(
        area=f"0,100 {line} {now_x},100",
        line=line,
        projection=_project(spending, places, x, end),
        even="0,0 100,100" if spending.ends_at else "",
        now_x=now_x,
        now_y=now_y,
        marks=_ends(spending.started_at, now, end, now_x),
    )


def _project(spending, places, x, end: datetime) -> str:
    if spending.exhausted_at is None:
        return ""
    now = spending.points[-1][0]
    now_x, now_y = places[-1]
    share = min((end - now) / (spending.exhausted_at - now), 1)
    last_x = x(min(end, spending.exhausted_at))
    return f"{now_x},{now_y} {last_x},{_round(now_y + (100 - now_y) * share)}"


def _ends(start: datetime, now: datetime, end: datetime, now_x: float) -> list[Mark]:
    marks = [Mark(start, 0, "start")]
    if 20 < now_x < 80:
        marks.append(Mark(now, now_x, "middle"))
    return [*marks, Mark(end, 100, "end")]


def _stack(counts: Iterable[int], top: int) -> list[Bar]:
    bars, y = [], 100.0
    for group, count in zip(GROUPS, counts, strict=True):
        if count:
            height = _height(count, top, least=_LEAST)
            y = max(y - height, 0)
            bars.append(Bar(group, _round(y), height))
    return bars


def _height(count: int, top: int, *, least: float) -> float:
    return _round(max(100 * count / (top or 1), least)) if count else 0


def _box(x: float, top: float, bottom: float) -> str:
    return f"M{x} {_round(max(top, 0))}h8V{_round(bottom)}h-8z"


def _anchor(x: float) -> str:
    if x < _EDGE:
        return "start"
    return "end" if x > 100 - _EDGE else "middle"


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _round(number: float) -> float:
    rounded = round(number, 2)
    return int(rounded) if rounded == int(rounded) else rounded
