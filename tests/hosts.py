"""Hosts of one installation, as processes: each with a state directory of its own."""

import http.client
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

from django.db import connection

from tests.servers import free_port, granian, portal_settings, running

ACCEPTED, REFUSED = 204, (401, 403)


class Host:
    """One host, asked over one connection."""

    def __init__(self, process: Popen, port: int, address: str = "127.0.0.1") -> None:
        self.process = process
        self.address, self.port = address, port
        self._connection: http.client.HTTPConnection | None = None

    def asks(self, secret: str, timeout: float = 30) -> int:
        """Return the status with which the host answers whether a key is good."""
        was_open = self._connection is not None
        try:
            return self._ask(secret, timeout)
        except http.client.RemoteDisconnected:
            # It may end connections on which nothing was said for a while.
            if not was_open:
                raise
            return self._ask(secret, timeout)

    def _ask(self, secret: str, timeout: float) -> int:
        if self._connection is None:
            place = self.address, self.port
            self._connection = http.client.HTTPConnection(*place, timeout=timeout)
        headers = {"Authorization": f"Bearer {secret}"}
        try:
            self._connection.request("GET", "/v1/auth", headers=headers)
            response = self._connection.getresponse()
            response.read()
        except (http.client.HTTPException, OSError):
            self.hang_up()
            raise
        return response.status

    def hang_up(self) -> None:
        """Ask over another connection from now on."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def hold(self) -> None:
        """Stop all its processes where they are."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def let_go(self) -> None:
        """Let them go on."""
        os.killpg(self.process.pid, signal.SIGCONT)


@contextmanager
def serving(
    directory: Path,
    *,
    database: str = "",
    workers: int = 1,
    prefix: Sequence[str] = (),
    address: str = "127.0.0.1",
    **settings: str,
) -> Iterator[Host]:
    """Run a host with its state in this directory, on the tests' database if no other is given.

    `prefix` is what its command begins with; `address` is where it is then asked.
    """
    directory.mkdir()
    port = free_port()
    env = portal_settings(directory, DATABASE_URL=database or url_of_tests(), **settings)
    command = [*prefix, *granian("portal.wsgi:application", port, workers)]
    if address != "127.0.0.1":
        command[command.index("127.0.0.1")] = address
    with running(command, port=port, directory=directory, env=env, address=address) as process:
        host = Host(process, port, address)
        try:
            yield host
        finally:
            host.hang_up()
            host.let_go()


def url_of_tests() -> str:
    """Return the address of the database that the tests use."""
    found = connection.settings_dict
    user, password, place = found["USER"], found["PASSWORD"], found["HOST"] or "127.0.0.1"
    port = found["PORT"] or 5432
    credentials = f"{user}:{password}" if password else user
    return f"postgres://{credentials}@{place}:{port}/{found['NAME']}"


def wait_until(condition, seconds: float = 20) -> None:
    """Wait for a condition; fail when it does not come to be."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It did not come to be."
        time.sleep(0.01)
