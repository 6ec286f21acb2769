"""What is asked of an import, and what it says of a file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter

from keys.models import Role, User, Workspace
from keys.moves.candidates import Problem
from keys.moves.columns import Format

# More problems than this are counted, not listed.
MOST_PROBLEMS = 1000
# Nor are more of one row: whoever mended these sees the others.
MOST_OF_ROW = 10
SAMPLES = 20


@dataclass(frozen=True)
class ImportOptions:
    """How a file is to be read, and what holds where its rows say nothing."""

    file_format: Format
    # {their name of a column: ours}
    mapped: Mapping[str, str] = field(default_factory=dict)
    owner: User | None = None
    role: Role | None = None
    scopes: tuple[str, ...] = ()
    workspace: Workspace | None = None
    # Write nothing, only report.
    is_trial: bool = False
    # Import the good rows of a file that has bad ones.
    skips_invalid: bool = False


@dataclass(frozen=True)
class Sample:
    """One key of a file, as people recognise it."""

    row: int
    name: str
    label: str
    owner: str
    grant: str


@dataclass
class ImportReport:
    """What is in a file, and what became of it."""

    rows: int = 0
    # What was imported or, of a trial, what would be.
    imported: int = 0
    # What this organization has already.
    present: int = 0
    refused: int = 0
    # Lines that hold nothing; they are no rows.
    empty: int = 0
    # Of the rows that are refused, the first problems, by line, and how many there are.
    found: int = 0
    problems: list[Problem] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    unread_columns: list[str] = field(default_factory=list)
    sha256: str = ""
    is_written: bool = False

    @property
    def is_clean(self) -> bool:
        """Whether no row has a problem."""
        return not self.refused

    @property
    def unlisted(self) -> int:
        """How many problems are only counted."""
        return self.found - len(self.problems)

    def refuse(self, *problems: Problem) -> None:
        """Count a row that cannot be imported, for these reasons."""
        self.refused += 1
        self.found += len(problems)
        room = max(MOST_PROBLEMS - len(self.problems), 0)
        self.problems += problems[: min(MOST_OF_ROW, room)]
        if room:
            # Rows are read by the batch, and what all of a batch shares is looked at later.
            self.problems.sort(key=attrgetter("row"))

    def pass_over(self) -> None:
        """Count a line that holds nothing."""
        self.empty += 1

    def show(self, sample: Sample) -> None:
        """Keep one of the first keys to show."""
        if len(self.samples) < SAMPLES:
            self.samples.append(sample)
