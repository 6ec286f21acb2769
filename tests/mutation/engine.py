"""Ask tests about mutants, from one process that has collected them all: each ask is a fork.

A mutant of a function is that function with other code, which takes no new start. What is run
at import takes one, and what survives is asked again after one, so that nothing computed before
the change hides it.
"""

import ast
import builtins
import functools
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from django.db import connections

from tests.mutation.mutants import Mutant

# Browsers, gateways and load start too slowly to be asked once for each mutant.
_LEFT_OUT = ("tests/pages", "tests/deploy", "tests/faults", "tests/mutation")
_ALONE = ["-n0", "-p", "no:randomly"]
ARGUMENTS = [
    *(f"--ignore={path}" for path in _LEFT_OUT),
    *(*_ALONE, "-m", "not browser and not wide and not endurance"),
]
_ANEW = [
    *(*_ALONE, "-m", "not browser and not endurance", "-xq", "--tb=no"),
    *("-p", "no:cacheprovider", "-p", "tests.mutation.plant"),
]

# So many tests are run in one fork to see what they run, and so many are asked first of all.
_SLICE, _FEW = 100, 40

Watched = dict[str, tuple[float, dict[str, list[int]]]]


class Engine:
    """A plugin of pytest that takes the place of its loop over tests."""

    def __init__(
        self, mutants: list[Mutant], workers: int, folder: Path, kept: Path | None
    ) -> None:
        self._mutants, self._workers, self._folder, self._kept = mutants, workers, folder, kept
        self._paths = {str(Path(mutant.path).absolute()) for mutant in mutants}
        self._failed: set[str] = set()
        self._seconds = 0.0
        # What kills each mutant: a test, "time" or "start"; "" when nothing does.
        self.killers: dict[Mutant, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds += report.duration
        if report.failed:
            self._failed.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._items = {item.nodeid: item for item in session.items}
        self._make_ready(session)
        watched = self._watch_all()
        asked = {mutant: _tests_of(mutant, watched) for mutant in self._mutants}
        quick = {
            mutant: functools.partial(self._ask, mutant, tests)
            for mutant, tests in asked.items()
            if mutant.statement and tests
        }
        seconds = {
            mutant: 60 + 3 * sum(watched[test][0] for test in tests)
            for mutant, tests in asked.items()
        }
        for mutant, killer in self._in_forks(quick, seconds):
            self._note(mutant, killer)
        anew = {
            mutant: functools.partial(self._ask_anew, mutant, asked[mutant])
            for mutant in self._mutants
            if not self.killers.get(mutant)
        }
        longer = {mutant: 300 + 5 * seconds[mutant] for mutant in anew}
        for mutant, killer in self._in_forks(anew, longer):
            self._note(mutant, killer)
        return True

    def _note(self, mutant: Mutant, killer: str) -> None:
        self.killers[mutant] = killer
        said = f"killed by {killer}" if killer else "survived"
        sys.__stderr__.write(f"{mutant.path}:{mutant.line} {mutant.change}: {said}\n")

    def _make_ready(self, session: pytest.Session) -> None:
        """Make what all forks share: the database, a folder, the list of functions."""
        session.config._tmp_path_factory.getbasetemp()
        self._spare = next(
            (item for item in session.items if "db" in item.fixturenames), session.items[0]
        )
        self._session = session
        self._run([self._spare])
        connections.close_all()
        gc.unfreeze()
        # Whatever else is in memory is not asked what it is: it might look for an answer.
        everything = gc.get_objects()
        self._functions = [
            each
            for each in everything
            if type(each) is FunctionType and each.__code__.co_filename in self._paths
        ]
        self._caches = [each for each in everything if type(each) is functools._lru_cache_wrapper]
        del everything
        # Forks share what nobody touches.
        gc.freeze()

    def _run(self, items: list[pytest.Item], following: pytest.Item | None = None) -> str:
        """Run tests up to the first that fails, and return it; another one may be `following`."""
        # What the whole session shares is kept: the database.
        nodes = [*items[1:], following or self._session]
        for item, node in zip(items, nodes, strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=node)
            if item.nodeid in self._failed:
                return item.nodeid
        return ""

    def _watch_all(self) -> Watched:
        """Learn of each test what it runs, or read what an earlier run kept of that."""
        if self._kept and self._kept.exists():
            return json.loads(self._kept.read_text())
        names = [name for name in self._items if name != self._spare.nodeid]
        slices = {start: names[start : start + _SLICE] for start in range(0, len(names), _SLICE)}
        works = {start: functools.partial(self._watch, some) for start, some in slices.items()}
        watched: Watched = {}
        for _start, found in self._in_forks(works, dict.fromkeys(works, 3600)):
            if isinstance(found, str):
                raise SystemExit("The tests cannot be run without a mutant.")
            watched |= found
        if self._kept:
            self._kept.write_text(json.dumps(watched))
        return watched

    def _watch(self, names: list[str]) -> Watched:
        """Return of each test that passes how long it takes and which statements it runs."""
        watched: Watched = {}
        for path in self._paths:
            self._exchange(_watching(path))
        items = [self._items[name] for name in names]
        for item, following in zip(items, [*items[1:], None], strict=True):
            seen: set[tuple[str, int]] = set()
            builtins.__seen__, self._seconds = seen.add, 0.0
            if not self._run([item], following):
                lines: dict[str, list[int]] = {}
                for path, line in seen:
                    lines.setdefault(os.path.relpath(path), []).append(line)
                watched[item.nodeid] = (self._seconds, lines)
        return watched

    def _ask(self, mutant: Mutant, tests: list[str]) -> str:
        path = Path(mutant.path).absolute()
        self._exchange(compile(mutant.apply(path.read_bytes()), str(path), "exec"))
        return self._run([self._items[test] for test in tests])

    def _exchange(self, module: CodeType) -> None:
        """Give the functions of a module the code that they have in this one."""
        codes = {(each.co_qualname, each.co_firstlineno): each for each in _codes(module)}
        for function in self._functions:
            old = function.__code__
            new = codes.get((old.co_qualname, old.co_firstlineno))
            if new and old.co_filename == module.co_filename and "<locals>" not in new.co_qualname:
                function.__code__ = new
        for cache in self._caches:
            cache.cache_clear()

    def _ask_anew(self, mutant: Mutant, tests: list[str]) -> str:
        """Ask in processes that import the mutant, and with the wide cases of each test."""
        whole = list(dict.fromkeys(test.partition("[")[0] for test in tests))
        for some in filter(None, (whole[:_FEW], whole[_FEW:])):
            names = self._folder / f"{os.getpid()}.txt"
            names.write_text("\n".join(some))
            asked = subprocess.run(  # noqa: S603
                [sys.executable, "-m", "pytest", *_ANEW, f"@{names}"],
                env=os.environ | {"MUTANT": json.dumps(asdict(mutant))},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            if asked.returncode:
                return _failure(asked.stdout)
        return ""

    def _in_forks(self, works: dict, seconds: dict) -> Iterator[tuple]:
        """Do each work in a process of its own, and give what it returns; "time" when it is late.

        `seconds` is how long each may take.
        """
        waiting, running = list(works.items()), {}
        while waiting or running:
            while waiting and len(running) < self._workers:
                key, work = waiting.pop(0)
                pid = os.fork() or self._live(work, int(seconds[key]))
                running[pid] = key
            pid, status = os.wait()
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            file = self._folder / f"{pid}.json"
            late = "time" if os.WIFSIGNALED(status) else ""
            yield running.pop(pid), json.loads(file.read_text()) if file.exists() else late

    def _live(self, work: Callable[[], object], seconds: int) -> int:
        """Do the work and end: what a fork does of its life, in so many seconds at most."""
        os.setsid()
        signal.alarm(seconds)
        for settings in connections.settings.values():
            if not Path(settings["NAME"]).exists():
                continue
            own = self._folder / f"{os.getpid()}.sqlite3"
            shutil.copy(settings["NAME"], own)
            settings["NAME"] = str(own)
        try:
            file = self._folder / f"{os.getpid()}.json"
            file.with_suffix(".part").write_text(json.dumps(work()))
            file.with_suffix(".part").rename(file)
        finally:
            os._exit(0)


def _failure(said: str) -> str:
    """Return of what pytest said which test failed, or that it did not come so far."""
    if "ERROR: not found: " in said:
        raise RuntimeError(said)
    failed = [line for line in said.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return failed[0].split(" ", 1)[1].split(" - ")[0] if failed else "start"


def _tests_of(mutant: Mutant, watched: Watched) -> list[str]:
    """Return the tests that run the statement; where none does or it is run at import, its file.

    Tests named like the file come first, then the quickest.
    """
    name = f"test_{Path(mutant.path).stem}"
    of_file = {
        test: seen[mutant.path] for test, (_s, seen) in watched.items() if mutant.path in seen
    }
    tests = [test for test, lines in of_file.items() if mutant.statement in lines]
    return sorted(tests or of_file, key=lambda test: (name not in test, watched[test][0]))


def _watching(path: str) -> CodeType:
    """Return a module that tells `__seen__` of each statement in its functions."""
    tree = ast.parse(Path(path).read_bytes())
    functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)]
    for node in {inner for function in functions for inner in ast.walk(function)}:
        for field in ("body", "orelse", "finalbody"):
            statements = getattr(node, field, None)
            if isinstance(statements, list):
                told = [part for each in statements for part in (_telling(path, each), each)]
                setattr(node, field, told)
    return compile(ast.fix_missing_locations(tree), path, "exec")


def _telling(path: str, statement: ast.stmt) -> ast.stmt:
    told = ast.parse(f"__seen__(({path!r}, {statement.lineno}))").body[0]
    for node in ast.walk(told):
        ast.copy_location(node, statement)
    return told


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
