"""A portal with engines of its own, all of which can fail: workers, databases, Redis, disks."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from tests import clusters, servers

WORKERS = 2
_DATABASE = "keyhaven"


class Engines:
    """What scenarios share, because it takes seconds to make: databases with the cast in them.

    One that spoils PostgreSQL, by where its log is for example, has engines of its own.
    """

    def __init__(self, stack: ExitStack, directory: Path, log_at: Path | None = None) -> None:
        self._stack, self._directory, self._log_at = stack, directory, log_at
        directory.mkdir(exist_ok=True)

    @cached_property
    def cluster(self) -> clusters.Server:
        """A PostgreSQL of our own."""
        return self._stack.enter_context(clusters.primary(log_at=self._log_at))

    @cached_property
    def _sqlite(self) -> tuple[Path, dict[str, Any]]:
        file = self._directory / "cast.sqlite3"
        return file, self._seeded(f"sqlite:///{file}")

    @cached_property
    def _postgresql(self) -> dict[str, Any]:
        self.cluster.execute("CREATE DATABASE cast_of_all")
        return self._seeded(self.cluster.url("cast_of_all"))

    def fill(self, installation: "Installation") -> dict[str, Any]:
        """Give an installation its database; return the cast."""
        if installation.engine == "SQLite":
            file, cast = self._sqlite
            installation.database_file.write_bytes(file.read_bytes())
            return cast
        cast = self._postgresql
        where = "pg_default"
        if installation.database_at:
            where = installation.stack.enter_context(self._tablespace(installation.database_at))
        self.cluster.execute(f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)")
        self.cluster.execute(f"CREATE DATABASE {_DATABASE} TEMPLATE cast_of_all TABLESPACE {where}")
        # Until then PostgreSQL does not log what it takes from the copy of a sequence, and gives
        # the same numbers again after a crash.
        self.cluster.execute("CHECKPOINT")
        return cast

    @contextmanager
    def _tablespace(self, directory: Path) -> Iterator[str]:
        """Yield the name of a place for tables in this directory; what is there goes in the end."""
        self.cluster.execute(f"CREATE TABLESPACE small LOCATION '{directory}'")
        try:
            yield "small"
        finally:
            self.cluster.execute(f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)")
            self.cluster.execute("DROP TABLESPACE small")

    def _seeded(self, url: str) -> dict[str, Any]:
        env = servers.portal_settings(
            self._directory, DATABASE_URL=url, WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8"
        )
        return json.loads(python("tests.faults.cast", env))


class Installation:
    """One host with its portal, and its worker where it is wanted."""

    def __init__(
        self,
        engines: Engines,
        stack: ExitStack,
        directory: Path,
        engine: str,
        *,
        database_at: Path | None = None,
        **settings: str,
    ) -> None:
        self.engine, self.directory = engine, directory
        # Where the tables are, if not where they are by default.
        self.database_at = database_at
        self.database_file = (database_at or directory) / "db.sqlite3"
        self.engines, self.stack = engines, stack
        directory.mkdir(exist_ok=True)
        self.port = servers.free_port()
        self._clock = directory / "clock"
        self.set_clock(0)
        url = f"sqlite:///{self.database_file}"
        if engine == "PostgreSQL":
            url = engines.cluster.url(_DATABASE)
        own = {
            "DATABASE_URL": url,
            "API_RATE": "1000000/minute",
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "CLOCK": str(self._clock),
        }
        self.env = servers.portal_settings(directory, **own | settings)
        self.worker: subprocess.Popen | None = None
        self.cast = engines.fill(self)

    def start(self) -> None:
        """Start the portal, as its supervisor does after a crash too."""
        command = servers.granian("tests.faults.clocked:application", self.port, WORKERS)
        running = servers.running(command, port=self.port, directory=self.directory, env=self.env)
        self.portal = self.stack.enter_context(running)

    def kill(self) -> None:
        """`kill -9` all processes of the portal."""
        os.killpg(self.portal.pid, signal.SIGKILL)
        self.portal.wait()

    def start_worker(self) -> None:
        """Start `manage.py work` beside the portal."""
        command = [sys.executable, "-m", "tests.faults.clocked", "work"]
        log = self.directory / "worker.log"
        running = servers.started(command, log=log, env=self.env)
        self.worker = self.stack.enter_context(running)

    def set_clock(self, seconds: float) -> None:
        """Let the clock of the portal be wrong by so much from now on."""
        new = self._clock.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._clock)

    def work(self, hours: float) -> None:
        """Do what the worker has to do in so many hours."""
        clock = self.directory / "clock-of-worker"
        clock.write_text(str(hours * 3600))
        python("tests.faults.clocked", self.env | {"CLOCK": str(clock)}, "work", "--once")

    def books(self) -> dict[str, Any]:
        """Return what the database says, when all is added that the host counted."""
        return json.loads(python("tests.faults.books", self.env))


@contextmanager
def redis(directory: Path) -> Iterator["Redis"]:
    """Run a Redis of our own."""
    server = Redis(directory)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class Redis:
    """A Redis that can be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.port = servers.free_port()
        self._stack = ExitStack()

    def url(self, number: int) -> str:
        """Return the address of one of its databases."""
        return f"redis://127.0.0.1:{self.port}/{number}"

    def start(self) -> None:
        """Start, and wait until it listens."""
        command = ["redis-server", "--port", str(self.port), "--save", "", "--bind", "127.0.0.1"]
        running = servers.running(command, port=self.port, directory=self._directory)
        self._process = self._stack.enter_context(running)

    def kill(self) -> None:
        """`kill -9` it."""
        self._process.kill()
        self._stack.close()


@contextmanager
def small_disk(directory: Path, megabytes: int) -> Iterator[Path]:
    """Mount a disk of this size."""
    directory.mkdir()
    size = f"size={megabytes}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", directory], check=True)  # noqa: S603, S607
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)  # noqa: S603, S607


def can_mount(directory: Path) -> bool:
    """Say whether disks can be mounted here."""
    if os.geteuid() != 0:
        return False
    try:
        with small_disk(directory / "tried", 1):
            return True
    except (subprocess.CalledProcessError, FileNotFoundError):
        return False


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Leave no room on a disk, and take what others give back, until the block ends."""
    is_over = threading.Event()
    file = disk / "ballast"
    _fill(file)

    def fill() -> None:
        while not is_over.wait(0.02):
            _fill(file)

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        file.unlink()


def _fill(file: Path) -> None:
    with file.open("ab", buffering=0) as ballast:
        for size in (2**20, 2**12, 1):
            try:
                while ballast.write(bytes(size)) == size:
                    pass
            except OSError:
                continue


def python(module: str, env: dict[str, str], *arguments: str) -> str:
    """Run one of our programs; return what it says."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", module, *arguments],
        cwd=servers.ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode:
        raise RuntimeError(f"{module}: {done.stdout[-1000:]}{done.stderr[-3000:]}")
    return done.stdout
