"""A lab's file as params.yaml points at it, and the problems found in it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import LONGEST_LABEL, counted, listed
from pipeline.params.obs_column import ObsColumn


@dataclass(frozen=True)
class Source:
    """Where the slots of a contract are in one file."""

    path: Path
    section: str  # of params.yaml with these settings, such as "cfm_vc.ingest": named in messages
    counts: str  # X, raw/X, layers/<name>, or auto: the first place that holds counts
    columns: Mapping[str, ObsColumn]
    control: str = ""  # label of unperturbed cells, in perturbation data
    dose: ObsColumn | None = None
    combination: str | None = None  # separator of the treatments in a label
    spatial: str | tuple[str, ...] | None = None  # key of obsm, or names of obs columns
    same_place: Literal["refuse", "first"] = "refuse"  # of cells in one place of a section
    constant: Mapping[str, str] = field(default_factory=dict)  # covariates that the file lacks: one label for all cells

    def key(self, name: str) -> str:
        """The full name of a key in this source's section of params.yaml."""
        return f"{self.section}.{name}"

    def column(self, name: str) -> str:
        """How messages call the obs column of a slot."""
        return f"obs column {self.columns[name].column!r} ({name})"


@dataclass(frozen=True)
class Problem:
    """One reason why a file cannot be used."""

    where: str
    found: str
    expected: str
    fix: str

    def __str__(self) -> str:
        return f"{self.where}: found {self.found}; expected {self.expected}. To fix it, {self.fix}"


@dataclass
class Findings:
    """All problems of a file, and notes on what is odd but harmless."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def problem(self, where: str, found: str, expected: str, fix: str) -> None:
        """Record a problem; reading goes on, so that all of them are reported at once."""
        self.problems.append(Problem(where, found, expected, fix))

    def raise_problems(self, path: Path | str) -> None:
        """Raise one ExpectedError that lists every problem, if there are any."""
        if self.problems:
            listed = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(self.problems, 1))
            raise ExpectedError(f"{path} cannot be used, {counted(len(self.problems), 'problem')}:\n{listed}")


def refuse_unshowable(labels: Iterable[str], where: str, findings: Findings) -> None:
    """A problem where labels span lines or are too long: no table or figure could show them."""
    odd = [label for label in labels if len(label) > LONGEST_LABEL or not label.isprintable()]
    if odd:
        findings.problem(
            where,
            f"{counted(len(odd), 'label')} that no table can show ({listed(odd, 3)})",
            f"labels of one line and at most {LONGEST_LABEL} characters",
            "shorten them, and replace line breaks, tabs and other control characters",
        )


def cell_numbers(places: npt.NDArray[np.int64]) -> str:
    """The first few of these cells for a message, by number from 1 on."""
    return ("cell " if len(places) == 1 else "cells ") + ", ".join(str(place + 1) for place in places[:3])
