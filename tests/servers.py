"""Real servers, for tests and benchmarks: started, waited for, stopped."""

import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests import logged

ROOT = Path(__file__).resolve().parent.parent

# Seconds that a server may take to listen, and to stop by itself.
_START, _STOP = 90, 10

# What the shell that runs us may have set and would reach into a portal of our own.
_SETTINGS = {
    "ALLOWED_HOSTS",
    "CACHE_URL",
    "DATABASE_URL",
    "DJANGO_SETTINGS_MODULE",
    "HTTPS",
    "KEY_PEPPERS",
    "PUBLIC_URL",
    "RATE_LIMIT_STORAGE",
    "SECRET_KEY",
    "STATE_DIR",
    "TRUSTED_PROXIES",
}

# Below those that the system gives to outgoing connections: one of these could take the port
# before our server does. Every process begins elsewhere.
_PORTS = range(10_000, 30_000)
_first = random.SystemRandom().randrange(len(_PORTS))
_candidates = itertools.cycle((*_PORTS[_first:], *_PORTS[:_first]))


def free_port() -> int:
    """Return a port on which nothing listened a moment ago, each time another."""
    for port in itertools.islice(_candidates, len(_PORTS)):
        with socket.socket() as listener:
            try:
                listener.bind(("", port))
            except OSError:
                continue
        return port
    raise RuntimeError("Every port is in use.")


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    port: int,
    directory: Path,
    env: Mapping[str, str] = os.environ,
    address: str = "127.0.0.1",
) -> Iterator[subprocess.Popen]:
    """Run a server until the block ends, from the moment that it listens on the port.

    What it says goes to `<port>.log` in the directory, and is searched for secrets at the end of
    the tests; a server that does not come up is
    a RuntimeError with the end of that.
    """
    log = directory / f"{port}.log"
    with started(command, log=log, env=env) as process:
        if not _listens(process, address, port):
            raise RuntimeError(f"{command[0]} did not start: {log.read_text()[-2000:]}")
        yield process


@contextmanager
def started(
    command: Sequence[str | Path], *, log: Path, env: Mapping[str, str]
) -> Iterator[subprocess.Popen]:
    """Run a program until the block ends; what it says is searched for secrets afterwards."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own commands
            [str(part) for part in command],
            cwd=ROOT,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process)
        logged.keep_file(log)


def portal_settings(directory: Path, **settings: str) -> dict[str, str]:
    """Return the environment of a portal that keeps all it has in this directory."""
    inherited = {name: value for name, value in os.environ.items() if name not in _SETTINGS}
    own = {
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "SECRET_KEY": "only-for-tests-0123456789-abcdefghijklmnopqrstuvwxyz",
        "KEY_PEPPERS": "1:only-for-tests-0123456789-abcdefghijklmnop",
        "HTTPS": "0",
        "SERVE_STATIC_SOURCES": "1",
        "ALLOWED_HOSTS": "*",
        "LOG_LEVEL": "ERROR",
        "DATABASE_URL": f"sqlite:///{directory / 'db.sqlite3'}",
        "STATE_DIR": str(directory / "state"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return inherited | own | settings


def granian(application: str, port: int, workers: int = 1) -> list[str | Path]:
    """Return the command that serves a WSGI application, with as little else as possible."""
    return [
        Path(sys.executable).with_name("granian"),
        *f"--interface wsgi --host 127.0.0.1 --port {port} --workers {workers}".split(),
        *["--blocking-threads", "1", "--no-ws", "--log-level", "warning"],
        application,
    ]


def _listens(process: subprocess.Popen, address: str, port: int) -> bool:
    until = time.monotonic() + _START
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as client:
            if client.connect_ex((address, port)) == 0:
                return True
        time.sleep(0.02)
    return False


def _stop(process: subprocess.Popen) -> None:
    for order in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, order)
            process.wait(_STOP)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
