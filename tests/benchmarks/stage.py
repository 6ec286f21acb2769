"""The servers of a benchmark: grounds, portals over them, gateways, peers and the yardstick."""

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests import servers
from tests.benchmarks.machine import pinned
from tests.benchmarks.rounds import Server
from tests.deploy.gateways import Ports, command_path, nginx

GATE = "portal.wsgi:application"

# Each ground has a database of its own.
_numbers = count(1)


class Ground:
    """A database with keys, files of these keys, and the environment of portals over it."""

    def __init__(self, stack: ExitStack, keys: int, *, postgres: str | None = None) -> None:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="keyhaven-bench-"))
        self.folder, self.size = Path(folder), keys
        settings = {"TRUSTED_PROXIES": "127.0.0.1"}
        self.database = None
        if postgres:
            self.database = f"bench_{os.getpid()}_{next(_numbers)}"
            settings["DATABASE_URL"] = _own_database(stack, postgres, self.database)
        self.env = servers.portal_settings(self.folder, **settings)

    @property
    def engine(self) -> str:
        return "PostgreSQL" if self.database else "SQLite"

    def keys(self, name: str) -> Path:
        """Return a file of keys: see tests.benchmarks.ground."""
        return self.folder / name

    def fill(self, *, peers: bool = False) -> "Ground":
        """Make the tables and what is in them."""
        program = [sys.executable, "-m", "tests.benchmarks.ground", str(self.folder)]
        command = [*program, str(self.size), *(["--peers"] if peers else [])]
        subprocess.run(command, cwd=servers.ROOT, env=self.env, check=True)  # noqa: S603
        return self


class Stage:
    """Starts servers, all to be stopped when the stack ends."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack

    def bare(self, ground: Ground, *, is_pinned: bool = True) -> Server:
        """The yardstick."""
        env = ground.env | {"BARE_KEYS": str(ground.keys("hot"))}
        return self._serve(ground, "tests.benchmarks.bare:application", env, is_pinned=is_pinned)

    def portal(self, ground: Ground, *, is_pinned: bool = True, **settings: str) -> Server:
        """A portal, its gate in front."""
        return self._serve(ground, GATE, ground.env | settings, is_pinned=is_pinned, is_ours=True)

    def peers(self, ground: Ground) -> Server:
        """One DRF view for each way to authenticate."""
        env = ground.env | {"DJANGO_SETTINGS_MODULE": "tests.benchmarks.peers.settings"}
        return self._serve(ground, GATE, env, is_pinned=True, is_ours=True)

    def nginx(self, ground: Ground, portal: Server) -> Server | None:
        """nginx with the shipped file, which asks the portal; the service is an empty picture."""
        if command_path("nginx") is None:
            return None
        port = servers.free_port()
        directory = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        arguments = nginx(
            Ports(port, portal.port, service=9),
            directory,
            (r"proxy_pass http://guarded;", "empty_gif;"),
            workers=os.cpu_count() or 1,
        )
        process = self.stack.enter_context(
            servers.running([command_path("nginx"), *arguments], port=port, directory=directory)
        )
        return Server(
            port,
            (process.pid, *portal.processes),
            portal.database,
            portal.is_pinned,
            portal.connections,
        )

    def _serve(
        self,
        ground: Ground,
        application: str,
        env: dict[str, str],
        *,
        is_pinned: bool,
        is_ours: bool = False,
    ) -> Server:
        port = servers.free_port()
        workers = 1 if is_pinned else os.cpu_count() or 1
        command = pinned(servers.granian(application, port, workers), 0 if is_pinned else None)
        process = self.stack.enter_context(
            servers.running(command, port=port, directory=ground.folder, env=env)
        )
        return Server(
            port,
            (process.pid,),
            ground.database if is_ours else None,
            is_pinned,
            connections=8 * workers,
        )


def _own_database(stack: ExitStack, server: str, name: str) -> str:
    """Make a database on this server, dropped in the end; return its address."""

    def execute(statement: str) -> None:
        with psycopg.connect(server, dbname="postgres", autocommit=True) as connection:
            connection.execute(statement)

    execute(f"CREATE DATABASE {name}")
    stack.callback(execute, f"DROP DATABASE {name} WITH (FORCE)")
    return urlsplit(server)._replace(path=f"/{name}").geturl()
