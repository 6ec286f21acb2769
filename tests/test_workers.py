"""Serving processes report that they live, go on whatever happens, and sign off when they end."""

import threading
import time
from datetime import timedelta

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from keys import generations, workers
from keys.board import is_settled, key_slot
from keys.hosts import this_host
from keys.models import Worker


@pytest.fixture
def _started(transactional_db):
    workers.start()
    yield
    workers.stop()


def wait_for_report() -> Worker:
    deadline = time.monotonic() + 10
    while not Worker.objects.exists():
        assert time.monotonic() < deadline, "The worker did not report."
        time.sleep(0.02)
    return Worker.objects.get()


@pytest.mark.usefixtures("_started")
def test_a_process_is_one_worker_however_often_it_is_started(settings):
    first = wait_for_report()
    threads = threading.active_count()
    workers.start()
    assert threading.active_count() == threads
    assert first.host == this_host(settings.STATE_DIR)
    workers.stop()
    assert not Worker.objects.exists()
    assert not [each for each in threading.enumerate() if each.name.startswith("keyhaven-")]


def test_a_report_renews_the_workers_row_and_forgets_the_long_dead(db):
    now = timezone.now()
    for name, silent_for in ("dead", timedelta(hours=2)), ("silent", timedelta(minutes=2)):
        Worker.objects.create(
            id=name, host="web-1", pid=1, started_at=now, seen_at=now - silent_for
        )
    workers.report("this", now)
    first = Worker.objects.get(pk="this")
    Worker.objects.filter(pk="this").update(seen_at=now - timedelta(minutes=1))
    workers.report("this", now)
    assert Worker.objects.get(pk="this").seen_at >= first.seen_at
    assert set(Worker.objects.values_list("pk", flat=True)) == {"this", "silent"}


def test_an_error_is_logged_and_the_work_goes_on(db, caplog):
    stop, outcomes = threading.Event(), [DatabaseError("gone for a moment"), None]

    def work():
        outcome = outcomes.pop(0)
        if outcome:
            raise outcome
        stop.set()

    workers.repeat(work, stop, 0)
    assert not outcomes
    assert "gone for a moment" in caplog.text


@pytest.mark.usefixtures("own_board")
def test_what_failed_work_had_begun_is_over_at_the_next_round(transactional_db, key):
    """Or nobody would remember what is known of the key until the thread writes again."""
    stop, found = threading.Event(), []

    def work():
        found.append(is_settled(generations.board().slots[key_slot(key.pk)]))
        if len(found) == 2:
            stop.set()
            return
        with transaction.atomic():
            generations.note_key(key.pk)
            key.save()
            raise DatabaseError("gone for a moment")

    workers.repeat(work, stop, 0)
    assert found == [True, True]


def test_hosts_are_told_apart_by_where_their_state_lies(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for directory in one, other:
        directory.mkdir()
    assert this_host(one) != this_host(other)
    with pytest.raises(FileNotFoundError):
        this_host(tmp_path / "none")
