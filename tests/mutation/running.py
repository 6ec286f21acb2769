"""Run tests against a mutant, in a clone of the repository: nobody's checkout is edited."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from importlib.util import cache_from_source
from pathlib import Path

from coverage import CoverageData

from tests.mutation.mutants import Mutant

# Browsers and gateways start too slowly to be asked once for each mutant.
_LEFT_OUT = ("tests/pages", "tests/deploy", "tests/faults")
_CHOICE = "not browser and not wide and not endurance"
# So many tests are asked first: most mutants live no longer.
_FEW = 40


class Map:
    """Which tests run which line of which file."""

    def __init__(self, folder: Path) -> None:
        failed = folder / "cache" / "v" / "cache" / "lastfailed"
        # Of a test that fails anyway nobody learns anything.
        useless = {"", *(json.loads(failed.read_text()) if failed.exists() else {})}
        data = CoverageData(str(folder / "coverage"))
        data.read()
        self._lines: dict[str, dict[int, set[str]]] = defaultdict(dict)
        self._size: Counter[str] = Counter()
        for path in data.measured_files():
            for line, contexts in data.contexts_by_lineno(path).items():
                tests = {context.rpartition("|")[0] for context in contexts} - useless
                self._lines[path.partition("/clone/")[2]][line] = tests
                self._size.update(tests)

    def tests_of(self, mutant: Mutant) -> list[str]:
        """Return the tests that run the statement, for what is run at import those of its file.

        Tests named like the file come first, then those that run the least of the code.
        """
        lines = self._lines[mutant.path]
        wanted = range(mutant.first, mutant.last + 1) if mutant.first else lines
        tests = set().union(*(lines.get(line, ()) for line in wanted))
        name = f"test_{Path(mutant.path).stem}"
        return sorted(tests, key=lambda test: (name not in test, self._size[test], test))


class Bench:
    """A clone of what is committed, with a database of its own, for one mutant at a time."""

    def __init__(self, root: Path, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.clone = folder / "clone"
        command = ["git", "clone", "--quiet", "--shared", str(root), str(self.clone)]
        subprocess.run(command, check=True)  # noqa: S603
        self._empty, self._database = folder / "empty.sqlite3", folder / "test.sqlite3"
        self._arguments = folder / "tests.txt"

    def draw_map(self, folder: Path, workers: int, tests: list[str]) -> None:
        """Run these test files, or all, to learn which test runs which line."""
        cover = ["--cov=keys", "--cov-context=test", "--cov-report="]
        left_out = [f"--ignore={path}" for path in _LEFT_OUT]
        cache = ["-o", f"cache_dir={folder / 'cache'}"]
        self._pytest(
            [f"-n{workers}", *cover, *cache, *left_out, *tests],
            limit=None,
            COVERAGE_FILE=str(folder / "coverage"),
        )

    def make_database(self) -> None:
        """Make the database that each run begins with."""
        code, said = self._run_tests(["tests/test_models.py"], limit=None)
        if code != 0:
            raise SystemExit(f"The tests fail without a mutant:\n{said}")
        shutil.move(self._database, self._empty)

    def killer(self, mutant: Mutant, tests: list[str]) -> str:
        """Return what kills the mutant: a test, or `time` or `start`; "" when nothing does."""
        file = self.clone / mutant.path
        source = file.read_bytes()
        self._write(file, mutant.apply(source))
        try:
            few, rest = tests[:_FEW], tests[_FEW:]
            return (few and self._first_failure(few)) or (rest and self._first_failure(rest)) or ""
        finally:
            self._write(file, source)

    def _first_failure(self, tests: list[str]) -> str:
        shutil.copy(self._empty, self._database)
        code, said = self._run_tests(tests, limit=60 + 2 * len(tests))
        if "ERROR: not found: " in said:
            raise SystemExit(f"The map of tests is wrong:\n{said}")
        if code in (0, None):
            return "" if code == 0 else "time"
        failed = [line for line in said.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        return failed[0].split(" - ")[0].split(" ", 1)[1] if failed else "start"

    def _run_tests(self, tests: list[str], limit: int | None) -> tuple[int | None, str]:
        self._arguments.write_text("\n".join(tests))
        arguments = ["-n0", "-x", "-q", "--tb=line", "-p", "no:cacheprovider", "-p", "no:randomly"]
        database = ["--ds=tests.mutation.settings", "--reuse-db"]
        return self._pytest(
            [*arguments, *database, f"@{self._arguments}"],
            limit,
            MUTATION_DATABASE=str(self._database),
        )

    def _pytest(
        self, arguments: list[str], limit: int | None, **environment: str
    ) -> tuple[int | None, str]:
        """Return how pytest ended and what it said; None when the time was up."""
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "pytest", "-m", _CHOICE, *arguments],
            cwd=self.clone,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, _nothing = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None, ""
        return process.returncode, said

    @staticmethod
    def _write(file: Path, source: bytes) -> None:
        file.write_bytes(source)
        # Python tells versions of a file by their second: a mutant's must not serve the next.
        Path(cache_from_source(str(file))).unlink(missing_ok=True)
