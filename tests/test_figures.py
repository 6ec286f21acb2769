"""Figures about very many keys are counted once in a while, and when something changed."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache

from keys import figures, services

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def one_key_is_few(monkeypatch):
    monkeypatch.setattr(figures, "FEW_KEYS", 1)
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def figure(owner, acme, key, read_only_key):
    """Ask for how many keys there are; `figure.counted` is how often they were counted."""

    def ask(*, actor=owner, now=NOW, name="keys"):
        def count():
            ask.counted += 1
            return acme.api_keys.count()

        return figures.remembered(
            name, count, keys=acme.api_keys.all(), actor=actor, organization=acme, now=now
        )

    ask.counted = 0
    return ask


def test_figure_is_counted_once_for_all_who_ask_again(figure):
    assert [figure(), figure(), figure()] == [2, 2, 2]
    assert figure.counted == 1


def test_figure_is_right_at_once_after_a_key_was_issued(figure, owner, acme):
    assert figure() == 2
    services.issue_key(actor=owner, organization=acme, name="New")
    assert figure() == 3


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
    figure(now=NOW + timedelta(seconds=59))
    assert figure.counted == 1
    figure(now=NOW + timedelta(seconds=60))
    assert figure.counted == 2


def test_figures_of_other_names_are_apart(figure):
    figure()
    figure(name="others")
    assert figure.counted == 2


def test_known_figure_costs_two_queries(figure, django_assert_num_queries):
    figure()
    with django_assert_num_queries(2):
        figure()


def test_nothing_is_kept_where_keys_are_few(figure, monkeypatch):
    monkeypatch.setattr(figures, "FEW_KEYS", 2)
    figure()
    figure()
    assert figure.counted == 2
