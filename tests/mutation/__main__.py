"""How many small mistakes the tests notice: `python -m tests.mutation keys/services --sample 150`.

Each mutant is one change of what is committed, made in memory; the tests that run the changed
statement are asked until one fails. What survives is a mistake that no test would notice, or
no mistake at all.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest

from tests.mutation.engine import ARGUMENTS, Engine
from tests.mutation.mutants import Mutant, find

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> None:
    options = _options()
    if options.here:
        _try_out(options)
        return
    # In a clone, whose files stay as they are meanwhile.
    with tempfile.TemporaryDirectory(prefix="keyhaven-mutation-") as folder:
        clone = ["git", "clone", "--quiet", "--shared", str(ROOT), folder]
        subprocess.run(clone, check=True)  # noqa: S603
        again = [sys.executable, "-m", "tests.mutation", *sys.argv[1:], "--here"]
        for name in ("map", "output"):
            if file := getattr(options, name):
                again += [f"--{name}", str(file.absolute())]
        sys.exit(subprocess.run(again, cwd=folder).returncode)  # noqa: S603


def _try_out(options: argparse.Namespace) -> None:
    samples = options.sample * len(options.paths) if len(options.sample) == 1 else options.sample
    drawn = zip(options.paths, samples, strict=True)
    mutants = [mutant for path, count in drawn for mutant in _draw(options, path, count)]
    with tempfile.TemporaryDirectory(prefix="keyhaven-mutants-") as folder:
        engine = Engine(mutants, options.workers, Path(folder), options.map)
        pytest.main([*ARGUMENTS, *options.tests], plugins=[engine])
    report = _report(engine.killers)
    sys.stdout.write(report)
    if options.output:
        options.output.write_text(report)
    # Threads and sessions that tests left need no end of their own.
    sys.stdout.flush()
    os._exit(0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, help="files, or folders of them, to change")
    parser.add_argument(
        "--sample",
        type=int,
        nargs="+",
        default=[sys.maxsize],
        help="so many of each path, at random: one number for all, or one for each; else all",
    )
    parser.add_argument("--seed", type=int, default=1, help="draws another sample")
    parser.add_argument("--only", nargs="+", metavar="FILE:LINE", help="the mutants of these lines")
    parser.add_argument("--tests", nargs="+", default=[], help="ask these test files; else all")
    parser.add_argument("--map", type=Path, help="keep here which test runs what, for more runs")
    parser.add_argument("--workers", type=int, default=2, help="so many processes at once")
    parser.add_argument("--output", type=Path, help="also write the report into this file")
    parser.add_argument("--here", action="store_true", help="in this folder, not in a clone")
    return parser.parse_args()


def _draw(options: argparse.Namespace, path: Path, count: int) -> list[Mutant]:
    mutants = find(path)
    if options.only:
        mutants = [each for each in mutants if f"{each.path}:{each.line}" in options.only]
    # No secret: a seed draws the same sample again.
    lot = random.Random(options.seed)  # noqa: S311
    return sorted(lot.sample(mutants, min(count, len(mutants))))


def _report(killers: dict[Mutant, str]) -> str:
    where: dict[str, list[str]] = defaultdict(list)
    for mutant, killer in killers.items():
        services = mutant.path.startswith("keys/services/")
        where["keys/services" if services else mutant.path].append(killer)
    where["together"] = list(killers.values())
    lines = ["| where | mutants | killed | share |", "| --- | ---: | ---: | ---: |"]
    for place, some in where.items():
        killed = len(list(filter(None, some)))
        lines.append(f"| {place} | {len(some)} | {killed} | {killed / len(some):.1%} |")
    lines += ["", "| survivor | change |", "| --- | --- |"]
    for mutant in sorted(mutant for mutant, killer in killers.items() if not killer):
        change = mutant.change.replace("|", "\\|")
        lines.append(f"| {mutant.path}:{mutant.line} | `{change}` |")
    return "\n".join(lines) + "\n"


main()
