"""What this machine is, and who used its processors how long."""

import os
import platform
import re
import sqlite3
import subprocess
import sys
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")

# What the figures depend on most.
_PACKAGES = (
    "django",
    "djangorestframework",
    "granian",
    "psycopg",
    "djangorestframework-api-key",
    "django-rest-knox",
)


def facts() -> dict[str, str]:
    """Return what of this machine the figures depend on; nothing that names it."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processors": f"{os.cpu_count()} × {cpu[1] if cpu else platform.machine()}",
        "memory": f"{memory:.0f} GiB",
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "nginx": _said_by("nginx", "-v"),
        "postgresql": _said_by("psql", "--version"),
        "wrk": _said_by("wrk", "-v"),
    } | {name: version(name) for name in _PACKAGES}


def processor_seconds(processes: Collection[int] | None = None) -> float:
    """Return how long these processes, or all of the machine, have been computing.

    Children that ended are in it once their parents have heard of it.
    """
    usage = _all_usage()
    chosen = usage.keys() if processes is None else processes
    return sum(usage[pid][1] for pid in chosen if pid in usage) / _TICK


def family(*roots: int) -> set[int]:
    """Return these processes and all that descend from them."""
    parents = {pid: parent for pid, (parent, _ticks) in _all_usage().items()}
    found = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def database_servers(name: str) -> set[int]:
    """Return the processes with which PostgreSQL serves the database of this name."""
    found = set()
    for pid in _all_usage():
        try:
            title = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if title.startswith(b"postgres: ") and f" {name} ".encode() in title:
            found.add(pid)
    return found


def _all_usage() -> dict[int, tuple[int, int]]:
    usage = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                status = Path(f"/proc/{name}/stat").read_bytes()
            except OSError:
                continue
            fields = status[status.rindex(b")") + 2 :].split()
            # User and system time, its own and that of children that ended.
            usage[int(name)] = int(fields[1]), sum(map(int, fields[11:15]))
    return usage


def _said_by(*command: str) -> str:
    try:
        said = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    except FileNotFoundError:
        return "none"
    found = re.search(r"\d+\.[\d.]*\d", said.stdout + said.stderr)
    return found[0] if found else "unknown"


def pinned(command: list, processor: int | None) -> list:
    """Return the command as it runs on one processor alone; on all of them for None."""
    if processor is None or len(os.sched_getaffinity(0)) < 2 or sys.platform != "linux":
        return command
    return ["taskset", "--cpu-list", str(processor), *command]
