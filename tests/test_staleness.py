"""Real workers, asked right after a change: none answers by what was before."""

import http.client
import os
import threading
import time
from contextlib import closing

import pytest
from django.conf import settings
from django.db import connection

from keys import services
from tests import servers

CONNECTIONS = 6


def database_url() -> str:
    """Return where the test database is, as a server is told."""
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    place = f"{values['HOST']}:{values['PORT'] or 5432}/{values['NAME']}"
    return f"postgres://{values['USER']}@{place}"


@pytest.fixture
def port(db, tmp_path):
    """Where two workers answer, of the same host as this process."""
    port = servers.free_port()
    env = servers.portal_settings(
        tmp_path,
        DATABASE_URL=database_url(),
        STATE_DIR=str(settings.STATE_DIR),
        SECRET_KEY=os.environ["SECRET_KEY"],
        KEY_PEPPERS=os.environ["KEY_PEPPERS"],
    )
    command = servers.granian("portal.wsgi:application", port, workers=2)
    with servers.running(command, port=port, directory=tmp_path, env=env):
        yield port


class Asker:
    """One connection to one worker."""

    # Which process it reached.
    worker = ""

    def __init__(self, port: int, secret: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._headers = {"X-API-Key": secret}

    def close(self) -> None:
        self._connection.close()

    def ask(self) -> int:
        self._connection.request("GET", "/v1/auth", headers=self._headers)
        response = self._connection.getresponse()
        response.read()
        # The first half is of one process.
        self.worker = response.headers["X-Request-Id"][:16]
        return response.status


def reach_both(port: int, secret: str) -> list[Asker]:
    """Return connections to each of the two workers, as soon as both are there."""
    found: dict[str, list[Asker]] = {}
    until = time.monotonic() + 30
    while len(found) < 2 or min(map(len, found.values())) < CONNECTIONS // 2:
        assert time.monotonic() < until, "One of the workers does not answer."
        asker = Asker(port, secret)
        asker.ask()
        of_worker = found.setdefault(asker.worker, [])
        if len(of_worker) < CONNECTIONS // 2:
            of_worker.append(asker)
        else:
            asker.close()
    return [asker for askers in found.values() for asker in askers]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("cycles", [20, pytest.param(5_000, marks=pytest.mark.endurance)])
def test_no_answer_is_older_than_a_change(port, developer, key, cycles):
    """T22: two changes a cycle, asked about on several connections, under load."""
    askers = reach_both(port, key.secret)
    is_over = threading.Event()

    def press() -> None:
        with closing(Asker(port, key.secret)) as asker:
            while not is_over.is_set():
                asker.ask()

    load = [threading.Thread(target=press) for _ in range(2)]
    for thread in load:
        thread.start()
    stale: list[tuple[int, int]] = []
    try:
        assert {asker.ask() for asker in askers} == {204}
        for cycle in range(cycles):
            for change, expected in ((services.disable_key, 401), (services.enable_key, 204)):
                change(actor=developer, key=key)
                answers = {asker.ask() for asker in askers}
                stale += [(cycle, status) for status in answers - {expected}]
    finally:
        is_over.set()
        for thread in load:
            thread.join()
        for asker in askers:
            asker.close()
    assert stale == []
