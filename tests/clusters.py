"""PostgreSQL servers of a test's own: a primary, and a standby that follows it."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.servers import free_port

_SETTINGS = """
listen_addresses = '*'
unix_socket_directories = ''
wal_level = replica
max_wal_senders = 8
hot_standby = on
shared_buffers = 16MB
max_connections = 60
wal_sender_timeout = 5s
"""
_SHORT_LOG = """
min_wal_size = 2MB
max_wal_size = 4MB
"""


def binaries() -> Path | None:
    """Return where PostgreSQL's own programs are, the newest there is, if they can run here."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    can_run = os.geteuid() != 0 or shutil.which("runuser")
    return found[-1].parent if found and can_run else None


class Server:
    """One PostgreSQL server in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.data = directory
        self.port = free_port()

    def start(self) -> None:
        """Start, and wait until it answers."""
        log = self.data.with_suffix(".log")
        run("pg_ctl", "start", "-w", "-D", self.data, "-l", log, "-o", f"-p {self.port}")

    def promote(self) -> None:
        """Let a standby be the primary from now on."""
        run("pg_ctl", "promote", "-w", "-D", self.data)

    def kill(self) -> None:
        """End it as a power failure would: all its processes at once."""
        try:
            leader = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        except FileNotFoundError:
            return
        for process in (leader, *_children(leader)):
            _end(process)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def is_down(self) -> bool:
        """Say whether it ended, by itself or by others."""
        return not (self.data / "postmaster.pid").exists()

    def execute(self, statement: str, database: str = "postgres") -> list[tuple]:
        """Run one statement."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def url(self, database: str = "postgres", address: str = "127.0.0.1") -> str:
        """Return its address, as seen from the host of which it has this address."""
        return f"postgres://postgres@{address}:{self.port}/{database}"


@contextmanager
def primary(networks: tuple[str, ...] = (), log_at: Path | None = None) -> Iterator[Server]:
    """Run a server that anybody on these networks, and this machine, may enter.

    It keeps its write-ahead log in the directory `log_at`, as short as it can, where one is given.
    """
    with directory_of_postgres() as directory:
        server = Server(directory / "primary")
        elsewhere = ["-X", log_at, "--wal-segsize=1"] if log_at else []
        options = ["-U", "postgres", "-A", "trust", "--no-sync", "-N", *elsewhere]
        run("initdb", "-D", server.data, *options)
        settings = _SETTINGS + (_SHORT_LOG if log_at else "")
        (server.data / "postgresql.auto.conf").write_text(settings)
        with (server.data / "pg_hba.conf").open("a") as rules:
            rules.writelines(f"host all all {network} trust\n" for network in networks)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def standby_of(server: Server) -> Iterator[Server]:
    """Run a standby that has confirmed whatever this server says to be committed."""
    standby = Server(server.data.with_name("standby"))
    source = f"host=127.0.0.1 port={server.port} user=postgres application_name=standby"
    run("pg_basebackup", "-D", standby.data, "-R", "-X", "stream", "-c", "fast", "-d", source)
    standby.start()
    try:
        server.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        server.execute("SELECT pg_reload_conf()")
        wait_until(
            lambda: server.execute("SELECT sync_state FROM pg_stat_replication") == [("sync",)]
        )
        yield standby
    finally:
        standby.kill()


def run(program: str, *arguments: object) -> None:
    """Run one of PostgreSQL's programs as whoever may: it refuses to be root."""
    directory = binaries()
    assert directory is not None
    command = [str(directory / program), *map(str, arguments)]
    if os.geteuid() == 0:
        command = ["runuser", "-u", "postgres", "--", *command]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=60, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")


def wait_until(condition, seconds: float = 20) -> None:
    """Wait for a condition; fail when it does not come to be."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It did not come to be."
        time.sleep(0.05)


@contextmanager
def directory_of_postgres() -> Iterator[Path]:
    """Yield a directory that PostgreSQL may use, whoever we are."""
    # Not below pytest's own, which only its user may enter.
    with tempfile.TemporaryDirectory(prefix="keyhaven-cluster-") as name:
        if os.geteuid() == 0:
            shutil.chown(name, "postgres")
        yield Path(name)


def _version(path: Path) -> int:
    text = path.parts[-3]
    return int(text) if text.isdecimal() else 0


def _children(leader: int) -> list[int]:
    listed = subprocess.run(  # noqa: S603
        ["/usr/bin/pgrep", "-P", str(leader)], capture_output=True, text=True, check=False
    )
    return [int(line) for line in listed.stdout.split()]


def _end(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return
