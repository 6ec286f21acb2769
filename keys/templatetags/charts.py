"""Charts, drawn on the server: SVG without scripts or styles, each with the same as a table.

Moments are told in UTC, whatever they are of.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.template import Context
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from keys import charts, series
from keys.charts import GROUPS, Column, Mark
from keys.models import KeySecret
from keys.series import Range, Slot, Spending
from keys.templatetags.dates import exact

register = template.Library()

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


@register.inclusion_tag("components/outcome_chart.html")
def outcome_chart(slots: Sequence[Slot], heading_id: str) -> dict[str, Any]:
    """Draw requests over time, stacked by outcome, under the heading of that id."""
    top = charts.round_up(max((slot.total for slot in slots), default=0))
    columns = charts.columns_of(slots, top)
    step = _step_of(slots)
    totals = [sum(column.counts[index] for column in columns) for index in range(len(GROUPS))]
    legend = [(group, total) for group, total in zip(GROUPS, totals, strict=True) if total]
    return {
        "heading_id": heading_id,
        "columns": [(column, _slot_name(column.start, step), _told(column)) for column in columns],
        "marks": _named(charts.marks_of(slots), step),
        "legend": legend,
        "rows": [
            (
                _slot_name(column.start, step),
                column.total,
                [count for count, total in zip(column.counts, totals, strict=True) if total],
            )
            for column in reversed(columns)
        ],
        "total": sum(totals),
        "scale": _scale(top) if sum(totals) else ["", "", 0],
    }


@register.inclusion_tag("components/sparkline.html")
def sparkline(slots: Sequence[Slot]) -> dict[str, Any]:
    """Draw the requests of each slot as small columns, refused ones on top in another colour."""
    if not any(slot.outcomes for slot in slots):
        return {}
    accepted_path, refused_path = charts.sparkline_paths(slots)
    return {
        **series.totals(slots),
        "accepted_path": accepted_path,
        "refused_path": refused_path,
        "days": len(slots),
        "width": len(slots) * 10,
    }


@register.inclusion_tag("components/range_picker.html", takes_context=True)
def range_picker(context: Context, chosen: Range) -> dict[str, Any]:
    """Offer to look farther back or nearer: links to the same page with another `range`."""
    query = context["request"].GET.copy()
    choices = []
    for each in Range:
        query["range"] = each.value
        choices.append((each, query.urlencode(), each == chosen))
    return {"choices": choices}


@register.inclusion_tag("components/burn_down.html")
def burn_down(spending: Spending, heading_id: str) -> dict[str, Any]:
    """Draw what is left of a key's limit until it is full again, and how long it lasts."""
    drawing = charts.burn_down_of(spending)
    length = (spending.ends_at or spending.points[-1][0]) - spending.started_at
    return {
        "heading_id": heading_id,
        "drawing": drawing,
        "spending": spending,
        "marks": [
            (
                mark,
                date_format(mark.moment, "TIME_FORMAT" if length <= _DAY else "MONTH_DAY_FORMAT"),
            )
            for mark in drawing.marks
        ],
        "scale": [spending.limit, "", 0],
        "now": exact(spending.points[-1][0]),
        "rows": [
            (exact(moment), max(spending.limit - spent, Decimal(0)), spent)
            for moment, spent in reversed(spending.points)
        ],
    }


@register.inclusion_tag("components/secret_curves.html")
def secret_curves(
    curves: Sequence[tuple[KeySecret, Sequence[Slot]]], heading_id: str
) -> dict[str, Any]:
    """Draw the use of each secret of a key over the same time, the newest most strongly."""
    top = charts.round_up(max((slot.total for _each, slots in curves for slot in slots), default=0))
    slots = curves[0][1] if curves else []
    step = _step_of(slots)
    totals = [sum(slot.total for slot in each) for _secret, each in curves]
    return {
        "heading_id": heading_id,
        "curves": [
            (secret, charts.curve_of(each, top, secret.created_at), total, age)
            for age, ((secret, each), total) in enumerate(
                zip(reversed(curves), reversed(totals), strict=True)
            )
        ][::-1],
        "marks": _named(charts.marks_of(slots), step),
        "rows": [
            (_slot_name(same[0].start, step), [slot.total for slot in same])
            for same in reversed(list(zip(*(each for _secret, each in curves), strict=True)))
            if any(slot.total for slot in same)
        ],
        "total": sum(totals),
        "scale": _scale(top) if sum(totals) else ["", "", 0],
    }


def _step_of(slots: Sequence[Slot]) -> timedelta:
    return slots[1].start - slots[0].start if len(slots) > 1 else _DAY


def _scale(top: int) -> list[int | str]:
    return [top, top // 2 if top > 1 else "", 0]


def _told(column: Column) -> str:
    """Return a column in words, for whoever points at it."""
    counts = [
        _("%(outcome)s: %(count)s") % {"outcome": group.label, "count": intcomma(count)}
        for group, count in zip(GROUPS, column.counts, strict=True)
        if count
    ]
    return " · ".join(counts) or _("no requests")


def _named(marks: Sequence[Mark], step: timedelta) -> list[tuple[Mark, str]]:
    """Return the marks with their words: the time of day, or the day where one begins."""
    return [
        (
            mark,
            date_format(
                mark.moment,
                "TIME_FORMAT" if step < 6 * _HOUR and mark.moment.hour else "MONTH_DAY_FORMAT",
            ),
        )
        for mark in marks
    ]


def _slot_name(start: datetime, step: timedelta) -> str:
    """Return which time a slot stands for."""
    if step < _HOUR:
        return date_format(start, "TIME_FORMAT")
    if step >= _DAY:
        return date_format(start, "DATE_FORMAT")
    return _("%(day)s, %(start)s to %(end)s") % {
        "day": date_format(start, "MONTH_DAY_FORMAT"),
        "start": date_format(start, "TIME_FORMAT"),
        "end": date_format(start + step, "TIME_FORMAT"),
    }
