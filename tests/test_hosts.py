"""Two hosts on one PostgreSQL: what is changed on one is known on the other, or not trusted.

Each host is a server of its own with a state directory of its own; the tests change keys as
a third would.
"""

import threading
import time

import pytest
from django.conf import settings as configured
from django.db import connection

from keys import feed, policy, services
from keys.models import Worker
from tests.hosts import ACCEPTED, REFUSED, serving, wait_until

pytestmark = [
    pytest.mark.skipif(
        "sqlite" in configured.DATABASES["default"]["ENGINE"],
        reason="Several hosts need PostgreSQL.",
    ),
    pytest.mark.django_db(transaction=True),
    # The hosts are started once.
    pytest.mark.xdist_group("hosts"),
]

LEASE = 1.0
# A request may be on its way for so long before the host judges it.
SLACK = 0.2


@pytest.fixture(scope="module")
def hosts(django_db_setup, tmp_path_factory):
    """Two hosts, started once."""
    directory = tmp_path_factory.mktemp("hosts")
    with serving(directory / "a") as one, serving(directory / "b") as other:
        yield one, other


@pytest.fixture
def pair(transactional_db, hosts, key):
    """The two hosts, when they judge from memory."""
    for host in hosts:
        assert host.asks(key.secret) == ACCEPTED
    wait_until(lambda: Worker.objects.live().filter(is_trusting=True).count() == 2)
    return hosts


def switch(key, is_on: bool) -> float:
    """Enable or disable a key; return when that was committed."""
    change = services.enable_key if is_on else services.disable_key
    change(actor=policy.OPERATOR, key=key)
    return time.monotonic()


def lag(host, key, is_on: bool) -> float:
    """Return how long after a change the host still judges by what was before, in seconds."""
    at = switch(key, is_on)
    while True:
        asked = time.monotonic()
        if (host.asks(key.secret) == ACCEPTED) == is_on:
            return max(asked - at, 0.0)
        assert asked - at < LEASE + SLACK, "A verdict was older than the lease."


def test_what_is_revoked_is_refused_by_every_host(pair, manage_key, key):
    """T22, T31: by the one that was told, and by the other."""
    one, other = pair
    revocation = services.revoke_key_everywhere(actor=policy.OPERATOR, key=key)
    assert len(revocation.confirmed) == 2
    assert revocation.missing == []
    assert one.asks(key.secret) in REFUSED
    assert other.asks(key.secret) in REFUSED
    assert other.asks(manage_key.secret) == ACCEPTED


@pytest.mark.parametrize("cycles", [25, pytest.param(400, marks=pytest.mark.wide)])
def test_changes_are_known_elsewhere_within_milliseconds(pair, key, cycles):
    _one, other = pair
    lags = sorted(lag(other, key, is_on) for _ in range(cycles) for is_on in (False, True))
    median, p99 = lags[len(lags) // 2], lags[len(lags) * 99 // 100]
    print(f"{len(lags)} changes: median {median * 1000:.2f} ms, p99 {p99 * 1000:.2f} ms")  # noqa: T201
    assert lags[-1] < LEASE + SLACK
    assert median < 0.05


def test_no_verdict_is_older_than_the_lease_while_the_feed_is_cut_again_and_again(pair, key):
    _one, other = pair
    is_over = threading.Event()
    cuts = []

    def cut():
        try:
            while not is_over.wait(0.15):
                cuts.append(end_feeds())
        finally:
            connection.close()

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        for _ in range(15):
            for is_on in (False, True):
                lag(other, key, is_on)
    finally:
        is_over.set()
        cutter.join()
    assert sum(cuts) > 4
    wait_until(lambda: feeds() == 4)
    assert lag(other, key, is_on=False) < LEASE


def end_feeds() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = %s",
            [feed.APPLICATION_NAME],
        )
        return cursor.fetchone()[0]


def feeds() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = %s",
            [feed.APPLICATION_NAME],
        )
        return cursor.fetchone()[0]


def test_a_host_that_stands_still_is_named_and_wakes_up_knowing_nothing(pair, key):
    one, other = pair
    hosts = set(Worker.objects.live().values_list("host", flat=True))
    other.hold()
    revocation = services.revoke_key_everywhere(actor=policy.OPERATOR, key=key)
    assert {*revocation.confirmed, *revocation.missing} == hosts
    assert len(revocation.missing) == 1
    assert one.asks(key.secret) in REFUSED
    other.let_go()
    # Its lease ended while it stood still.
    assert other.asks(key.secret) in REFUSED
