"""A host in a network of its own is cut off from the database by taking its link down.

Two links lead to it: over one it is asked, over the other it reaches the database. The
namespaces, and the database, are the test's own.
"""

import http.client
import os
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager

import pytest

from tests import clusters
from tests.hosts import ACCEPTED, REFUSED, Host, serving, wait_until
from tests.test_failover import call, seed

# Of this process alone: others may run the same test.
PID = os.getpid()
NAMESPACE = f"keyhaven-{PID}"
ASK_LINK, DATABASE_LINK = f"kh{PID}a", f"kh{PID}d"
ASKED_AT, DATABASE_AT = (f"10.{64 + PID % 64}.{PID // 64 % 125 * 2 + part}" for part in (0, 1))
LEASE, SLACK = 1.0, 0.2


def can_make_networks() -> bool:
    """Say whether namespaces and links can be made here."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    tried = subprocess.run(["ip", "netns", "add", NAMESPACE], capture_output=True, check=False)  # noqa: S603, S607
    ip("netns", "delete", NAMESPACE, is_sure=False)
    return tried.returncode == 0


def ip(*arguments: str, is_sure: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=is_sure, capture_output=True)  # noqa: S603, S607


pytestmark = [
    pytest.mark.endurance,
    pytest.mark.xdist_group("clusters"),
    pytest.mark.skipif(clusters.binaries() is None, reason="PostgreSQL's programs are not here."),
]


@contextmanager
def network():
    """Make a namespace with two links: x.1 is this side of each, x.2 the other."""
    ip("netns", "add", NAMESPACE)
    try:
        ip("-n", NAMESPACE, "link", "set", "lo", "up")
        for name, part in (ASK_LINK, ASKED_AT), (DATABASE_LINK, DATABASE_AT):
            far = f"{name}b"
            ip("link", "add", name, "type", "veth", "peer", "name", far, "netns", NAMESPACE)
            ip("address", "add", f"{part}.1/24", "dev", name)
            ip("-n", NAMESPACE, "address", "add", f"{part}.2/24", "dev", far)
            ip("link", "set", name, "up")
            ip("-n", NAMESPACE, "link", "set", far, "up")
        yield
    finally:
        ip("netns", "delete", NAMESPACE, is_sure=False)


class Asker:
    """Asks a host again and again, and remembers when it was accepted."""

    def __init__(self, host: Host, secret: str) -> None:
        self.accepted_at = 0.0
        self.host, self.secret = host, secret
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._ask)
        self.thread.start()

    def stop(self) -> None:
        self.is_over.set()
        self.thread.join()

    def _ask(self) -> None:
        while not self.is_over.wait(0.005):
            asked = time.monotonic()
            try:
                if self.host.asks(self.secret) == ACCEPTED:
                    self.accepted_at = asked
            except (OSError, http.client.HTTPException):
                continue


def test_a_host_that_is_cut_off_stops_to_trust_what_it_remembers(tmp_path):
    if not can_make_networks():
        pytest.skip("No network namespaces can be made here.")
    inside = ("ip", "netns", "exec", NAMESPACE)
    with network(), clusters.primary((f"{DATABASE_AT}.0/24",)) as database:
        database.execute("CREATE DATABASE keyhaven")
        seeded = seed(database.url("keyhaven"), tmp_path)
        there = database.url("keyhaven", f"{DATABASE_AT}.1")
        with (
            serving(tmp_path / "a", database=database.url("keyhaven")) as one,
            serving(
                tmp_path / "b", database=there, prefix=inside, address=f"{ASKED_AT}.2"
            ) as other,
        ):
            assert one.asks(seeded["judged"]) == ACCEPTED
            assert other.asks(seeded["judged"]) == ACCEPTED
            assert other.asks(seeded["revoked"]) == ACCEPTED
            live = "SELECT count(*) FROM keys_worker WHERE is_trusting"
            wait_until(lambda: database.execute(live, "keyhaven") == [(2,)])

            asker = Asker(other, seeded["revoked"])
            wait_until(lambda: asker.accepted_at > 0)
            ip("link", "set", DATABASE_LINK, "down")
            path = f"/v1/api-keys/{seeded['revoked_id']}?confirm=true"
            asked = time.monotonic()
            status, told = call(one, "DELETE", path, seeded["manager"])
            revoked_at = time.monotonic()
            assert status == 200
            assert [len(told["confirmed"]), len(told["missing"])] == [1, 1]
            # It does not wait for a host that cannot answer.
            assert revoked_at - asked < 2 * LEASE + 10

            time.sleep(3)
            ip("link", "set", DATABASE_LINK, "up")
            wait_until(lambda: is_accepted(one, seeded["judged"]))
            asker.stop()
            assert asker.accepted_at < asked + LEASE + SLACK
            wait_until(lambda: is_accepted(other, seeded["judged"]), seconds=60)
            assert other.asks(seeded["revoked"]) in REFUSED


def is_accepted(host: Host, secret: str) -> bool:
    try:
        return host.asks(secret) == ACCEPTED
    except (OSError, http.client.HTTPException):
        return False
