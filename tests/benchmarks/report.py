"""What a benchmark has to say: a text for people, figures for programs, a picture."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connection

from tests.benchmarks.machine import facts

_OF_DATABASE = "## On "


@dataclass(frozen=True)
class Report:
    """Markdown, and where there are any, figures and what draws them into a file."""

    text: str
    figures: dict[str, Any] | None = None
    draw: Callable[[Path], None] | None = None

    def write(self, folder: Path, name: str) -> None:
        """Write `<name>.md`, `.json` and `.svg` into the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text(self.text + "\n")
        if self.figures is not None:
            (folder / f"{name}.json").write_text(json.dumps(self.figures, indent=1) + "\n")
        if self.draw is not None:
            self.draw(folder / f"{name}.svg")


def by_database(title: str, preface: str, section: str, before: Path | None) -> str:
    """Return a document with the section of this database, and others that `before` holds."""
    sections = {}
    if before and before.exists():
        for each in before.read_text().split(_OF_DATABASE)[1:]:
            name, _, text = each.partition("\n")
            sections[name] = text.strip()
    sections[connection.vendor] = section
    return "\n\n".join(
        [
            f"# {title}",
            preface,
            "\n".join(f"- {name}: {value}" for name, value in facts().items()),
            *(f"{_OF_DATABASE}{name}\n\n{text}" for name, text in sorted(sections.items())),
        ]
    )


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; all columns but the first are figures."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
