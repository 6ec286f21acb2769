"""Charts: true to the numbers, the same as their tables, and never an empty box."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import translation

from keys import charts, series
from keys.charts import GROUPS
from keys.models import KeySecret
from keys.series import Range, Slot, Spending
from keys.templatetags.charts import outcome_chart
from keys.verification import Code

NOW = datetime(2026, 11, 19, 15, 31, 40, tzinfo=UTC)
MONTH = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def slots(span: Range, **outcomes: dict[int, int]) -> list[Slot]:
    """Return the slots of a range; `outcomes` are {slot's number: requests} by code."""
    found = series._empty_slots(span.span, span.step, NOW)
    for code, numbers in outcomes.items():
        for number, requests in numbers.items():
            found[number].outcomes[code] = requests
    return found


def render(text: str, **context) -> str:
    return Template("{% load charts %}" + text).render(Context(context))


def cells(html: str) -> list[list[str]]:
    """Return the words of a page's table, row by row."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    return [
        [re.sub("<.*?>", "", cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
        for row in rows
    ]


def test_every_outcome_is_in_one_group():
    for code in Code:
        assert sum(code in group.codes for group in GROUPS) == 1


class TestColumns:
    """Requests over time, stacked."""

    def test_a_column_is_as_high_as_its_share_of_the_scale(self):
        found = slots(Range.MONTH, VALID={28: 40, 29: 30}, REVOKED={29: 5}, EXPIRED={29: 5})
        columns = charts.columns_of(found, top=40)
        assert [(bar.group.name, bar.y, bar.height) for bar in columns[28].bars] == [
            ("accepted", 0, 100)
        ]
        assert [(bar.group.name, bar.y, bar.height) for bar in columns[29].bars] == [
            ("accepted", 25, 75),
            ("state", 0, 25),
        ]
        assert columns[0].bars == []

    def test_one_among_many_is_seen_and_stays_inside(self):
        found = slots(Range.MONTH, VALID={0: 100_000}, EXPIRED={0: 1})
        accepted, expired = charts.columns_of(found, top=100_000)[0].bars
        assert expired.height > 1
        assert accepted.y == expired.y == 0

    @pytest.mark.parametrize("span", Range)
    def test_columns_fill_the_width_side_by_side(self, span):
        columns = charts.columns_of(slots(span), top=1)
        assert columns[0].hit_x == 0
        assert columns[-1].hit_x + columns[-1].hit_width == pytest.approx(100, abs=0.1)
        assert all(
            column.hit_x < column.x < column.x + column.width < column.hit_x + column.hit_width
            for column in columns
        )

    @pytest.mark.parametrize(
        ("number", "top"), [(0, 1), (1, 1), (3, 4), (41, 60), (81, 100), (1234, 2000)]
    )
    def test_the_scale_ends_at_a_round_number(self, number, top):
        assert charts.round_up(number) == top


@pytest.mark.parametrize(
    ("span", "names"),
    [
        (Range.HOUR, ["14:40", "14:50", "15:00", "15:10", "15:20", "15:30"]),
        (Range.DAY, ["16:00", "20:00", "19 Nov", "04:00", "08:00", "12:00"]),
        (Range.WEEK, [f"{day} Nov" for day in range(13, 20)]),
        (Range.MONTH, ["25 Oct", "30 Oct", "4 Nov", "9 Nov", "14 Nov", "19 Nov"]),
    ],
)
def test_round_moments_are_named_below(span, names):
    html = render('{% outcome_chart slots "h" %}', slots=slots(span))
    assert re.findall(r"<text .*?>(.*?)</text>", html) == names
    assert ">UTC<" in html


def test_a_longer_time_has_no_more_names():
    found = series._empty_slots(14 * DAY, Range.WEEK.step, NOW)
    assert len(charts.marks_of(found)) == 7


class TestOutcomeChart:
    """What a page gets."""

    def test_its_table_has_the_same_numbers(self):
        found = slots(Range.MONTH, VALID={28: 1234, 29: 6}, LOCKED={29: 7})
        rows = cells(render('{% outcome_chart slots "h" %}', slots=found))
        assert rows[0] == ["Time (UTC)", "Requests", "Accepted", "Key not usable"]
        assert rows[1:3] == [
            ["19 Nov 2026", "13", "6", "7"],
            ["18 Nov 2026", "1,234", "1,234", "0"],
        ]
        assert len(rows) == 31

    @pytest.mark.parametrize(
        ("span", "first"),
        [
            (Range.HOUR, "15:31"),
            (Range.DAY, "19 Nov, 15:00 to 16:00"),
            (Range.WEEK, "19 Nov, 12:00 to 18:00"),
            (Range.MONTH, "19 Nov 2026"),
        ],
    )
    def test_rows_say_which_time_they_are(self, span, first):
        found = slots(span, VALID={-1: 1})
        assert cells(render('{% outcome_chart slots "h" %}', slots=found))[1][0] == first

    def test_who_points_at_a_column_is_told_its_numbers(self):
        found = slots(Range.MONTH, VALID={29: 1234}, LIMIT_EXCEEDED={29: 2})
        html = render('{% outcome_chart slots "h" %}', slots=found)
        assert "19 Nov 2026 UTC — Accepted: 1,234 · Limit exceeded: 2" in html
        assert "18 Nov 2026 UTC — no requests" in html

    def test_it_is_named_and_described_for_whoever_does_not_see_it(self):
        html = render('{% outcome_chart slots "h" %}', slots=slots(Range.DAY, VALID={3: 5}))
        assert 'aria-labelledby="h" aria-describedby="h-drawn"' in html
        assert re.search(r'<desc id="h-drawn">Accepted: 5. </desc>', html)

    @pytest.mark.parametrize("span", Range)
    def test_without_use_there_are_axes_and_a_sentence(self, span):
        html = render('{% outcome_chart slots "h" %}', slots=slots(span))
        assert "The first request appears here within seconds." in html
        assert html.count("chart__grid") == 3
        assert "<table" not in html

    def test_numbers_in_drawings_are_the_same_in_every_language(self):
        found = slots(Range.HOUR, VALID={3: 1, 4: 3000})
        with translation.override("de"):
            html = render('{% outcome_chart slots "h" %}', slots=found)
        assert not re.search(r'(?:x|y|width|height)="[0-9.]*,', html)

    def test_no_slots_are_no_crash(self):
        assert outcome_chart([], "h")["total"] == 0
        assert "<svg" in render('{% outcome_chart slots "h" %}', slots=[])

    def test_nothing_needs_an_exception_from_the_security_policy(self):
        html = render('{% outcome_chart slots "h" %}', slots=slots(Range.DAY, VALID={3: 5}))
        assert "style=" not in html
        assert "<script" not in html


class TestSparkline:
    """Small columns in a list."""

    def test_refused_ones_stand_on_accepted_ones(self):
        found = slots(Range.MONTH, VALID={0: 30, 1: 40}, EXPIRED={0: 10})
        accepted, refused = charts.sparkline_paths(found)
        assert accepted == "M1 25h8V100h-8zM11 0h8V100h-8z"
        assert refused == "M1 0h8V25h-8z"

    def test_it_says_how_much_it_was(self):
        html = render("{% sparkline slots %}", slots=slots(Range.MONTH, VALID={0: 1234}))
        assert 'aria-label="1,234 accepted, 0 refused in 30 days"' in html

    @pytest.mark.parametrize("found", [[], slots(Range.MONTH)])
    def test_without_use_it_says_so(self, found):
        assert "No use" in render("{% sparkline slots %}", slots=found)


def test_ranges_keep_what_else_was_asked_for():
    request = RequestFactory().get("/?range=7d&tab=use")
    html = render("{% range_picker span %}", span=Range.WEEK, request=request)
    assert re.findall(r'href="(.*?)"', html) == [
        f"?range={value}&amp;tab=use" for value in ("1h", "24h", "7d", "30d")
    ]
    assert re.findall(r'range=(\w+)[^>]*aria-current="true"', html) == ["7d"]


class TestBurnDown:
    """What is left of a limit."""

    def spending(self, spent, limit=100, ends_at=MONTH + 30 * DAY, exhausted_at=None):
        points = [(MONTH, Decimal(0)), (MONTH + 6 * DAY, Decimal(spent))]
        left = max(Decimal(limit) - Decimal(spent), Decimal(0))
        return Spending(points, Decimal(limit), Decimal(spent), left, MONTH, ends_at, exhausted_at)

    def test_it_falls_from_all_to_what_is_left(self):
        drawn = charts.burn_down_of(self.spending(25))
        assert drawn.line == "0,0 20,25"
        assert (drawn.now_x, drawn.now_y) == (20, 25)
        assert drawn.area == "0,100 0,0 20,25 20,100"
        assert drawn.even == "0,0 100,100"
        assert drawn.projection == ""

    def test_it_goes_on_to_where_nothing_is_left(self):
        found = self.spending(50, exhausted_at=MONTH + 12 * DAY)
        assert charts.burn_down_of(found).projection == "20,50 40,100"

    def test_without_a_reset_it_ends_where_nothing_is_left(self):
        found = self.spending(50, ends_at=None, exhausted_at=MONTH + 12 * DAY)
        drawn = charts.burn_down_of(found)
        assert (drawn.line, drawn.projection, drawn.even) == ("0,0 50,50", "50,50 100,100", "")

    def test_an_end_far_away_does_not_squeeze_the_rest(self):
        found = self.spending(10, ends_at=None, exhausted_at=MONTH + 60 * DAY)
        assert charts.burn_down_of(found).projection == "50,10 100,20"

    @pytest.mark.parametrize(("limit", "spent"), [(0, 0), (0, 5), (10, 50)])
    def test_what_is_overspent_is_nothing_left(self, limit, spent):
        assert charts.burn_down_of(self.spending(spent, limit)).now_y == 100

    def test_its_table_has_the_same_numbers(self):
        html = render('{% burn_down spending "h" %}', spending=self.spending("2500.5", 3000))
        assert cells(html) == [
            ["Until", "Spent", "Left"],
            ["7 Nov 2026, 00:00 UTC", "2,500.5", "499.5"],
            ["1 Nov 2026, 00:00 UTC", "0", "3,000"],
        ]

    def test_a_day_is_told_by_the_hour(self):
        found = Spending(
            [(MONTH, Decimal(0)), (MONTH + DAY / 2, Decimal(1))],
            Decimal(4),
            Decimal(1),
            Decimal(3),
            MONTH,
            MONTH + DAY,
            None,
        )
        html = render('{% burn_down spending "h" %}', spending=found)
        assert re.findall(r"<text .*?>(.*?)</text>", html) == ["00:00", "12:00", "00:00"]


class TestSecretCurves:
    """Both secrets of a rotation."""

    def curves(self, **use):
        return [
            (KeySecret(label=label), slots(Range.WEEK, VALID=numbers))
            for label, numbers in use.items()
        ]

    def test_each_secret_has_a_line_and_a_column_in_the_table(self):
        html = render('{% secret_curves curves "h" %}', curves=self.curves(old={0: 9}, new={27: 8}))
        assert re.findall(r'polyline class="chart__line (.*?)"', html) == ["curve--1", "curve--0"]
        assert cells(html) == [
            ["Time (UTC)", "old", "new"],
            ["19 Nov, 12:00 to 18:00", "0", "8"],
            ["12 Nov, 18:00 to 00:00", "9", "0"],
        ]

    def test_a_line_runs_through_the_middle_of_its_slots(self):
        found = [Slot(NOW + DAY * day, {"VALID": 5 * day}) for day in range(3)]
        assert charts.curve_of(found, 10) == "16.67,100 50,50 83.33,0"

    def test_a_line_begins_where_its_secret_was_made(self):
        found = [Slot(NOW + DAY * day, {"VALID": 5 * day}) for day in range(3)]
        assert charts.curve_of(found, 10, NOW + DAY * 1.5) == "50,50 83.33,0"
        assert charts.curve_of(found, 10, NOW + DAY * 9) == "83.33,0"

    @pytest.mark.parametrize("use", [{}, {"only": {}}])
    def test_without_use_there_are_axes_and_a_sentence(self, use):
        html = render('{% secret_curves curves "h" %}', curves=self.curves(**use))
        assert "The first request appears here within seconds." in html
