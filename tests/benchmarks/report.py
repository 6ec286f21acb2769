"""What a benchmark has to say: a text for people, figures for programs, a picture."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; all columns but the first are figures."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
