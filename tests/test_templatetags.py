"""What templates say: dates, standings, charts, changes."""

from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import timezone

from keys import services
from keys.templatetags.charts import GROUPS, outcome_chart, sparkline
from keys.templatetags.dates import relative
from keys.templatetags.outcomes import outcome
from keys.templatetags.reach import reach
from keys.templatetags.status import standing_of
from keys.verification import Code

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def render(text: str, **context) -> str:
    return Template(text).render(Context(context))


@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (timedelta(seconds=-20), "just now"),
        (timedelta(minutes=-1), "1 minute ago"),
        (timedelta(minutes=-59, seconds=-20), "59 minutes ago"),
        (timedelta(hours=3, minutes=5), "in 3 hours"),
        (timedelta(days=-1), "1 day ago"),
        (timedelta(days=59), "in 59 days"),
        (timedelta(days=90), "in 3 months"),
        (timedelta(days=365), "in 12 months"),
        (timedelta(days=800), "in 2 years"),
    ],
)
def test_distance_is_told_in_its_largest_unit(distance, words):
    assert relative(NOW + distance, NOW) == words


def test_moment_is_relative_with_the_exact_one_beside_it():
    with time_machine.travel(NOW, tick=False):
        html = render("{% load dates %}{% when moment %}", moment=NOW - timedelta(hours=2))
    assert html == (
        '<time datetime="2026-11-21T10:00:00+00:00" title="21 Nov 2026, 10:00 UTC">'
        "2 hours ago</time>"
    )


@pytest.mark.django_db
def test_may_asks_the_policy_about_who_looks(developer, viewer, acme, key):
    text = '{% load policy %}{% may "keys.change_apikey" key as it %}{{ it }}'
    for person, answer in ((developer, "True"), (viewer, "False")):
        request = RequestFactory().get("/")
        request.user = person
        assert render(text, request=request, key=key) == answer


@pytest.mark.django_db
def test_may_knows_no_permission_that_does_not_exist(developer, key):
    request = RequestFactory().get("/")
    request.user = developer
    with pytest.raises(ValueError, match="fly_apikey"):
        render('{% load policy %}{% may "keys.fly_apikey" key as it %}', request=request, key=key)


@pytest.mark.django_db
def test_standing_tells_the_first_reason(owner, acme, key):
    now = timezone.now()
    assert standing_of(key, now).label == "Active"
    key.expires_at = now + timedelta(days=3)
    assert standing_of(key, now).label == "Expires soon"
    key.limit = 0
    assert standing_of(key, now).label == "Limit reached"
    key.disabled = True
    assert standing_of(key, now).label == "Disabled"
    key.revoked_at = now
    assert standing_of(key, now).label == "Revoked"
    assert standing_of(key, now).moment == now


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("rows", "servers", "label"),
    [
        ([], False, "anywhere"),
        (["192.0.2.0/24"], False, "192.0.2.0/24"),
        (["192.0.2.1", "192.0.2.2"], False, "2 addresses"),
        (["192.0.2.0/24", "198.51.100.1"], False, "2 ranges"),
        (["192.0.2.0/24", {"network": "192.0.2.1", "deny": True}], False, "1 range"),
        ([{"network": "192.0.2.1", "deny": True}], False, "anywhere but 1"),
        ([{"network": "192.0.2.1", "active": False}], False, "anywhere"),
        ([], True, "servers"),
        (["192.0.2.1"], True, "servers + 1"),
    ],
)
def test_reach_is_told_in_a_word(rows, servers, label, owner, acme):
    key = services.issue_key(
        actor=owner, organization=acme, name="x", allowed_ips=rows, assign_server_ips=servers
    )
    assert reach(key).label == label


def test_every_outcome_is_in_one_group_and_has_words():
    for code in Code:
        assert sum(code in group.codes for group in GROUPS) == 1
        assert outcome(code)


def test_chart_stacks_to_the_top_of_a_round_scale():
    days = [
        (date(2026, 11, 20), {}),
        (date(2026, 11, 21), {Code.VALID: 30, Code.REVOKED: 5, Code.EXPIRED: 5}),
    ]
    chart = outcome_chart(days, "heading")
    assert (chart["top"], chart["total"]) == (40, 40)
    assert [(bar.group.name, bar.y, bar.height) for bar in chart["columns"][1].bars] == [
        ("accepted", 25.0, 75.0),
        ("state", 0.0, 25.0),
    ]
    assert chart["columns"][0].bars == []


def test_chart_is_drawn_with_a_table_of_the_same():
    days = [(date(2026, 11, 21), {Code.VALID: 1234})]
    html = render('{% load charts %}{% outcome_chart days "heading" %}', days=days)
    assert html.count("1,234") == 3
    assert 'aria-labelledby="heading"' in html
    assert "style=" not in html


def test_chart_without_use_is_no_division_by_zero():
    html = render('{% load charts %}{% outcome_chart days "h" %}', days=[(date(2026, 1, 1), {})])
    assert "<table" not in html
    assert sparkline([])["accepted"] == 0
    assert "No use" in render("{% load charts %}{% sparkline days %}", days=[])
