"""Hosts hear of each other's changes through PostgreSQL, and distrust their memory when not."""

import threading
import time
from contextlib import contextmanager

import pytest
from django.conf import settings as configured
from django.db import connection, transaction

from keys import feed, generations, services, snapshots
from keys.board import EVERYTHING, key_slot, organization_slot
from keys.hosts import this_host

needs_postgresql = pytest.mark.skipif(
    "sqlite" in configured.DATABASES["default"]["ENGINE"],
    reason="Other hosts need PostgreSQL.",
)
OTHER = "web-2/0a1b2c3d"


@pytest.fixture
def fast(settings):
    """Leases are short."""
    settings.INVALIDATION_LEASE_SECONDS = 0.4


@pytest.fixture
def listening(transactional_db, fast):
    """This host hears the feed, and judges from memory."""
    with listener():
        wait_until(snapshots.is_trusting)
        yield


@contextmanager
def listener():
    stop = threading.Event()
    thread = threading.Thread(target=feed.run, args=(stop,))
    generations.trust_until(0)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(5)
        assert not thread.is_alive()


def wait_until(condition, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It did not come to be."
        time.sleep(0.005)


def values(key_id: int, organization_id: int) -> tuple[int, int, int]:
    """Return what stands for everything, for a key and for an organization."""
    places = EVERYTHING, key_slot(key_id), organization_slot(organization_id)
    return tuple(generations.board().slots[place] for place in places)


def ask(statement: str, *parameters) -> tuple:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchone()


@needs_postgresql
@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize("is_other", [True, False])
def test_what_any_host_changes_is_marked_here_and_nothing_else(is_other):
    """A worker of this one may be killed when its commit is sent, and cannot mark its end."""
    changed, unchanged = values(12, 3), values(13, 5)
    host = OTHER if is_other else this_host(configured.STATE_DIR)
    ask("SELECT pg_notify(%s, %s)", feed.CHANNEL, f"{host} k:12 o:4")
    wait_until(lambda: values(12, 3)[1] != changed[1])
    assert values(12, 3)[2] == changed[2]
    assert values(13, 5) == unchanged
    assert values(13, 4)[2] != unchanged[2]


@needs_postgresql
@pytest.mark.usefixtures("listening")
def test_a_lost_connection_is_replaced_and_all_is_read_again():
    """What was changed while nobody listened, nobody told."""
    before = values(1, 1)
    (ended,) = ask(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = %s",
        feed.APPLICATION_NAME,
    )
    assert ended == 2
    wait_until(lambda: values(1, 1)[0] != before[0])
    wait_until(snapshots.is_trusting)


@needs_postgresql
def test_a_feed_from_elsewhere_is_never_trusted(transactional_db, fast, settings):
    """Beats go where changes go, so that hearing none of them is noticed."""
    user, host = (connection.settings_dict[part] for part in ("USER", "HOST"))
    settings.FEED_DATABASE_URL = f"postgres://{user}@{host}/postgres"
    with listener():
        time.sleep(0.8)
        assert not snapshots.is_trusting()


@needs_postgresql
@pytest.mark.usefixtures("transactional_db", "fast")
def test_another_worker_takes_over_when_the_one_that_listens_ends():
    with listener() as first:
        wait_until(snapshots.is_trusting)
        with listener():
            first.set()
            time.sleep(0.4)
            generations.trust_until(0)
            wait_until(snapshots.is_trusting)


@needs_postgresql
@pytest.mark.usefixtures("listening")
def test_hosts_confirm_what_they_know_and_the_silent_are_missing(settings):
    own = this_host(settings.STATE_DIR)
    assert feed.confirmations({own}, timeout=5) == {own}
    started = time.monotonic()
    assert feed.confirmations({own, OTHER}, timeout=0.3) == {own}
    assert time.monotonic() - started >= 0.3


@needs_postgresql
def test_a_change_is_told_when_it_is_committed_and_never_when_not(transactional_db, key, owner):
    with feed._listening([feed.CHANNEL]) as other_host:
        with transaction.atomic():
            services.disable_key(actor=owner, key=key)
            transaction.set_rollback(True)
        assert not list(other_host.notifies(timeout=0.1))
        services.disable_key(actor=owner, key=key)
        (note,) = other_host.notifies(timeout=5, stop_after=1)
    assert note.payload.split()[1:] == [f"k:{key.pk}"]


def test_a_lease_from_before_the_machine_was_started_is_void(fast):
    """Its clock began anew, and the old lease could have lasted for days."""
    generations.trust_until(feed.clock() + 10**15)
    feed.prepare()
    assert generations.trusted_until() == 0
    generations.trust_until(feed.clock() + 10**8)
    feed.prepare()
    assert generations.trusted_until()


@pytest.mark.skipif("sqlite" not in configured.DATABASES["default"]["ENGINE"], reason="On SQLite.")
def test_on_sqlite_is_one_host_whose_memory_is_always_trusted(db):
    feed.run(threading.Event())
    generations.trust_until(0)
    assert snapshots.is_trusting()
