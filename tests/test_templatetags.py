"""What templates say: dates, standings, charts, changes."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django import forms
from django.forms.renderers import DjangoTemplates
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import timezone
from heroicons.templatetags import heroicons
from pytest_django.asserts import assertHTMLEqual

from keys import services
from keys.templatetags.dates import relative
from keys.templatetags.outcomes import outcome
from keys.templatetags.reach import reach
from keys.templatetags.status import standing_of
from keys.verification import Code

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def render(text: str, **context) -> str:
    return Template(text).render(Context(context))


def test_table_frames_rows_with_heads_that_are_no_markup():
    text = (
        '{% load tables %}{% table "people" head "Keys" numbers="2" has_actions=may %}'
        "<tr><td>{{ head }}</td></tr>{% endtable %}"
    )
    page = render(text, head="A & B", may=True)
    assert 'aria-labelledby="people"' in page
    assert '<th role="columnheader" scope="col">A &amp; B</th>' in page
    assert '<th role="columnheader" scope="col" class="number">Keys</th>' in page
    assert "<tr><td>A &amp; B</td></tr>" in page
    assert "Actions" in page
    assert "Actions" not in render(text, head="A", may=False)


def test_icon_is_the_librarys_and_drawn_once(monkeypatch):
    text = '{% load heroicons %}{% heroicon_mini "plus" size=18 class="sign" %}'
    drawn = heroicons.heroicon_mini("plus", size=18, **{"class": "sign"})
    assert render(text) == drawn
    monkeypatch.delattr("heroicons._render_icon")
    assert render(text) == drawn
    with pytest.raises(AttributeError):
        render(text.replace("18", "19"))


@pytest.mark.parametrize("chosen", ["", "a", "1000"])
def test_choices_are_offered_as_django_offers_them(chosen):
    choices = [("", "Any"), ("Letters", [("a", "A & B"), ("b", "B")]), (1000, "Many")]
    widget = forms.Select({"class": "wide"}, choices)
    ours = widget.render("kind", chosen, {"required": True})
    theirs = widget.render("kind", chosen, {"required": True}, renderer=DjangoTemplates())
    assert ours != theirs
    assertHTMLEqual(ours, theirs)


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


def test_every_outcome_has_words():
    for code in Code:
        assert outcome(code)
