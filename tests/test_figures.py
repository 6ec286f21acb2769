"""Figures are counted once in a while, and at once when something changed."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache

from keys import services
from keys.figures import remembered

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def figure(owner, acme):
    """Ask for how many keys there are; `figure.counted` is how often they were counted."""

    def ask(*, actor=owner, now=NOW, name="keys"):
        def count():
            ask.counted += 1
            return acme.api_keys.count()

        return remembered(
            name, count, actor=actor, organization=acme, now=now, keep=timedelta(minutes=5)
        )

    ask.counted = 0
    return ask


def test_figure_is_counted_once_for_all_who_ask_again(figure):
    assert [figure(), figure(), figure()] == [0, 0, 0]
    assert figure.counted == 1


def test_figure_is_right_at_once_after_a_key_was_issued(figure, owner, acme):
    assert figure() == 0
    services.issue_key(actor=owner, organization=acme, name="New")
    assert figure() == 1


def test_figure_of_one_person_is_not_shown_to_another(figure, owner, viewer):
    figure(actor=owner)
    figure(actor=viewer)
    assert figure.counted == 2


def test_person_made_staff_meanwhile_is_counted_for_anew(figure, viewer):
    figure(actor=viewer)
    viewer.is_staff = True
    figure(actor=viewer)
    assert figure.counted == 2


def test_figure_is_counted_anew_when_its_time_is_over(figure):
    figure()
    figure(now=NOW + timedelta(minutes=4, seconds=59))
    assert figure.counted == 1
    figure(now=NOW + timedelta(minutes=5))
    assert figure.counted == 2


def test_figures_of_other_names_are_apart(figure):
    figure()
    figure(name="others")
    assert figure.counted == 2


def test_known_figure_costs_one_query(figure, django_assert_num_queries):
    figure()
    with django_assert_num_queries(1):
        figure()
