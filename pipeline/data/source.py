"""A lab's file as params.yaml points at it, and what is found wrong with it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import ExpectedError
from pipeline.params import ObsColumn


@dataclass(frozen=True)
class Source:
    """Where the slots of a contract are in one file."""

    path: Path
    section: str  # of params.yaml that says so, such as "ingest.perturbation": named in messages
    counts: str  # X, raw/X or layers/<name>
    columns: Mapping[str, ObsColumn]
    control: str

    def key(self, name: str) -> str:
        """The full name of a key in this source's section of params.yaml."""
        return f"{self.section}.{name}"

    def column(self, name: str) -> str:
        """How messages call the obs column of a slot."""
        return f"obs column {self.columns[name].column!r} ({name})"


@dataclass(frozen=True)
class Problem:
    """One thing that keeps a file from being used."""

    where: str
    found: str
    expected: str
    mend: str

    def __str__(self) -> str:
        return f"{self.where}: found {self.found}; expected {self.expected}. To mend it, {self.mend}"


@dataclass
class Findings:
    """All problems of a file, and notes on what is odd but no hindrance."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def problem(self, where: str, found: str, expected: str, mend: str) -> None:
        """Keep a problem; reading goes on, so that all are reported at once."""
        self.problems.append(Problem(where, found, expected, mend))

    def raise_problems(self, path: Path) -> None:
        """Raise one ExpectedError that lists every problem, if there are any."""
        if self.problems:
            listed = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(self.problems, 1))
            raise ExpectedError(f"{path} cannot be used, {counted(len(self.problems), 'problem')}:\n{listed}")


def listed(names: Iterable[object], limit: int = 8) -> str:
    """Names for a message, the first few of many."""
    every = [str(name) for name in names]
    more = f" and {len(every) - limit:,} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more if every else "none"


def counted(number: int, noun: str) -> str:
    """A number with its noun, as in "1 cell" and "2,000 cells"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
