"""What was promised of each fault, and what was measured when it happened under load.

Workers, databases, Redis, disks and mail servers are real, and this benchmark's own. Those
that need what is not here (a disk to mount, PostgreSQL, Redis) are left out, and say so.
"""

import argparse
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.machine import facts
from tests.faults.installation import Engines
from tests.faults.scenarios import SCENARIOS, NotHereError, Scenario

_PREFACE = """\
Of each it is promised that nothing acknowledged is lost, that each answer is counted once, and
that nobody gets in who may not. “Promised” is what holds beside that.

Verifications by GET and POST, some of them charged; keys that are issued, disabled and
revoked; and intruders with revoked, disabled, locked, rotated, unknown and other keys, at
three doors, go on all the time. A verification that was broken off, one at most for each of
the connections and each blow, may have been counted; one that was answered is counted once.
What is sent while nobody listens is in no figure."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which faults, and for how long."""
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument(
        "--seconds", type=float, default=3, help="of load before and after each blow (default: 3)"
    )


def run(options: argparse.Namespace) -> str:
    """Let each happen, and return the report as Markdown."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keyhaven-faults-")))
        engines = Engines(stack, folder / "engines")
        rows = [
            _row(SCENARIOS[name], engines, folder / name, options.seconds) for name in options.only
        ]
    heads = ["| fault | promised | measured | kept |", "| --- | --- | --- | --- |"]
    known = facts() | {"load at the end": f"{os.getloadavg()[0]:.1f}"}
    told = "\n".join(f"- {name}: {value}" for name, value in known.items())
    return "\n\n".join(["# What faults cost", _PREFACE, told, "\n".join([*heads, *rows])])


def _row(scenario: Scenario, engines: Engines, folder: Path, seconds: float) -> str:
    folder.mkdir()
    try:
        outcome = scenario.run(engines, folder, seconds)
    except NotHereError as reason:
        measured, kept = str(reason), "not run"
    else:
        measured = "; ".join([outcome.measured, *outcome.broken])
        kept = "**no**" if outcome.broken else "yes"
    return f"| {scenario.fault} | {scenario.promised} | {measured} | {kept} |"
