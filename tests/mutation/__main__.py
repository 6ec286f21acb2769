"""How many small mistakes the tests notice: `python -m tests.mutation keys/services --sample 150`.

Each mutant is one change of the code, in a clone of what is committed; the tests that run the
changed statement are asked one after another until one fails. What survives is a mistake that
no test would notice, or no mistake.
"""

import argparse
import random
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutation.mutants import Mutant, find
from tests.mutation.running import Bench, Map

ROOT = Path(__file__).resolve().parent.parent.parent


# A mutant, and what kills it: "" when it survives.
Outcome = tuple[Mutant, str]


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="keyhaven-mutation-") as folder:
        report = _report(_outcomes(options, Path(folder)))
    sys.stdout.write(report)
    if options.output:
        options.output.write_text(report)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, help="files, or folders of them, to change")
    parser.add_argument("--sample", type=int, help="so many mutants, drawn at random; else all")
    parser.add_argument("--seed", type=int, default=1, help="draws another sample")
    parser.add_argument("--only", nargs="+", metavar="FILE:LINE", help="the mutants of these lines")
    parser.add_argument("--tests", nargs="+", default=[], help="ask these test files; else all")
    parser.add_argument("--map", type=Path, help="keep here which test runs what, for more runs")
    parser.add_argument("--workers", type=int, default=2, help="so many processes at once")
    parser.add_argument("--output", type=Path, help="also write the report into this file")
    return parser.parse_args()


def _outcomes(options: argparse.Namespace, folder: Path) -> list[Outcome]:
    benches = [Bench(ROOT, folder / str(number)) for number in range(options.workers)]
    mutants = _draw(options, benches[0].clone)
    drawn = (options.map or folder / "map").absolute()
    if not drawn.exists():
        drawn.mkdir(parents=True)
        benches[0].draw_map(drawn, options.workers, options.tests)
    tests = Map(drawn)
    idle: SimpleQueue[Bench] = SimpleQueue()
    for bench in benches:
        bench.make_database()
        idle.put(bench)

    def try_out(mutant: Mutant) -> Outcome:
        bench = idle.get()
        try:
            killer = bench.killer(mutant, tests.tests_of(mutant))
        finally:
            idle.put(bench)
        said = f"killed by {killer}" if killer else "SURVIVED"
        sys.stderr.write(f"{mutant.path}:{mutant.line} {mutant.change}: {said}\n")
        return mutant, killer

    with ThreadPoolExecutor(options.workers) as pool:
        return list(pool.map(try_out, mutants))


def _draw(options: argparse.Namespace, clone: Path) -> list[Mutant]:
    mutants = [mutant for path in options.paths for mutant in find(clone, clone / path)]
    if options.only:
        mutants = [each for each in mutants if f"{each.path}:{each.line}" in options.only]
    if options.sample is not None and options.sample < len(mutants):
        # No secret: a seed draws the same sample again.
        mutants = sorted(random.Random(options.seed).sample(mutants, options.sample))  # noqa: S311
    return mutants


def _report(outcomes: list[Outcome]) -> str:
    where: dict[str, list[str]] = defaultdict(list)
    for mutant, killer in outcomes:
        services = mutant.path.startswith("keys/services/")
        where["keys/services" if services else mutant.path].append(killer)
    where["together"] = [killer for _mutant, killer in outcomes]
    lines = ["| where | mutants | killed | share |", "| --- | ---: | ---: | ---: |"]
    for place, killers in where.items():
        killed = len(list(filter(None, killers)))
        lines.append(f"| {place} | {len(killers)} | {killed} | {killed / len(killers):.1%} |")
    lines += ["", "| survivor | change |", "| --- | --- |"]
    for mutant in (mutant for mutant, killer in outcomes if not killer):
        change = mutant.change.replace("|", "\\|")
        lines.append(f"| {mutant.path}:{mutant.line} | `{change}` |")
    return "\n".join(lines) + "\n"


main()
