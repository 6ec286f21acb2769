"""Tables of what was measured, for people and for programs."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from tests.benchmarks.report import table
from tests.benchmarks.rounds import CLEAN, Variant

_FIGURES = ("requests_per_second", "p50_ms", "p99_ms", "server_us", "database_us", "total_us")
_HEADS = [
    *("", "requests/s", "p50 ms", "p99 ms", "server µs", "database µs", "together µs"),
    *("× requests/s", "× µs", "clean", "others"),
]


@dataclass(frozen=True)
class Table:
    """Variants that were measured side by side; the first is what others are held against."""

    title: str
    variants: Sequence[Variant]

    def __getitem__(self, name: str) -> Variant:
        return next(each for each in self.variants if each.name == name)

    def __contains__(self, name: str) -> bool:
        return any(each.name == name for each in self.variants)

    def ratio(self, name: str, figure: str, against: str | None = None) -> float:
        """Return one figure of a variant, as a multiple of the first's or of another's."""
        base = self[against] if against else self.variants[0]
        return self[name].figure(figure) / base.figure(figure)


@dataclass(frozen=True)
class Finding:
    """A promise, what was found, and whether that keeps it."""

    promise: str
    found: str
    is_kept: bool


def as_text(
    tables: Sequence[Table], findings: Sequence[Finding], machine: Mapping[str, str], minutes: float
) -> str:
    """Return all of it in Markdown."""
    parts = ["# What a verification costs", _preface(tables, machine, minutes)]
    for each in tables:
        parts += [f"## {each.title}", table(_HEADS, [_row(each, one) for one in each.variants])]
    if findings:
        rows = [[one.promise, one.found, "yes" if one.is_kept else "**no**"] for one in findings]
        parts += ["## What is promised", table(["", "found", "kept"], rows)]
    return "\n\n".join(parts)


def as_figures(
    tables: Sequence[Table], findings: Sequence[Finding], machine: Mapping[str, str]
) -> dict[str, Any]:
    """Return all of it for a program, each slice included."""
    return {
        "machine": dict(machine),
        "tables": {
            each.title: {
                variant.name: {name: round(variant.figure(name), 3) for name in _FIGURES}
                | {"slices": [asdict(one) for one in variant.slices]}
                for variant in each.variants
            }
            for each in tables
        },
        "promises": [asdict(one) for one in findings],
    }


def _preface(tables: Sequence[Table], machine: Mapping[str, str], minutes: float) -> str:
    slices = [one for each in tables for variant in each.variants for one in variant.slices]
    facts = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    load = os.getloadavg()[0]
    lines = [
        "Medians of short slices in turns. “server µs” and “database µs” are processor time",
        "for each request, “×” is against the first row of the same table, “clean” the slices",
        f"during which others used less than {CLEAN:.0%} of one processor, of all that were",
        "taken, “others” what they used in the median of those that count.",
    ]
    if slices:
        dirty = sum(one.foreign > CLEAN for one in slices)
        others = [one.foreign for one in slices]
        lines += [
            "",
            f"{dirty} of {len(slices)} slices were not clean; others used {median(others):.2f}",
            f"processors in the median, {max(others):.2f} at most. All took {minutes:.0f}",
            f"minutes; the load at the end was {load:.1f}.",
        ]
    return "\n".join([*lines, "", facts])


def _row(within: Table, variant: Variant) -> list[str]:
    clean = sum(each.foreign <= CLEAN for each in variant.slices)
    return [
        variant.name,
        f"{variant.figure('requests_per_second'):,.0f}",
        f"{variant.figure('p50_ms'):.2f}",
        f"{variant.figure('p99_ms'):.2f}",
        f"{variant.figure('server_us'):.1f}",
        f"{variant.figure('database_us'):.1f}",
        f"{variant.figure('total_us'):.1f}",
        f"{within.ratio(variant.name, 'requests_per_second'):.2f}",
        f"{within.ratio(variant.name, 'total_us'):.2f}",
        f"{clean}/{len(variant.slices)}",
        f"{variant.figure('foreign'):.2f}",
    ]
