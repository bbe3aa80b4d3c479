"""The results of a system as one long table, the same for all systems: reports/<system>/results.csv.

A row is one score. Its columns:

    system, study   whose, and in which study: a data set, split and seeds of its own
    unit            what is scored: a held-out group, a section, a horizon; "all": the mean over units
    method, role    a model, a baseline, a ceiling or a control; "difference": a model minus a baseline, on the same
                    resamples or seeds, with the method named by `difference_name`; of a metric with a best value, the
                    difference of their distances to it
    seed            of the training; empty: no seed, or several together
    metric, value   an empty value is undefined
    low, high       the 95 % interval, both empty where there is none. Of a score and of a difference within a unit it
                    is of the resamples of the one run that scored the unit; of a difference between runs of several
                    seeds, by Student's t over seeds; of the difference over all units of several runs, by Student's t
                    over units, or over seeds where there is one unit (`pipeline.metrics.runs.gathered`)

Imports only the standard library: stages start faster without pandas.
"""

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import ExpectedError
from pipeline.core.files import atomic_file
from pipeline.core.paths import StudyPaths

COLUMNS = ("system", "study", "unit", "method", "role", "seed", "metric", "value", "low", "high")
ROLES = ("model", "baseline", "ceiling", "control", "difference")
ALL = "all"
DEFAULT = "default"  # the study of the file that the rows are written to


@dataclass(frozen=True)
class Row:
    """One score; see the module for the columns."""

    unit: str
    method: str
    role: str
    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    seed: int | None = None
    study: str = DEFAULT

    @property
    def key(self) -> tuple[str, str, str, int | None, str]:
        """The key of a score, unique in a table."""
        return self.study, self.unit, self.method, self.seed, self.metric


def difference_name(model: str, baseline: str) -> str:
    """The method of a row that holds the model's score minus the baseline's (`Metric.difference`)."""
    return f"{model} - {baseline}"


def check(rows: Iterable[Row]) -> None:
    """ExpectedError with the first invalid row.

    Invalid are an unknown role, a method with two roles in a study, a number that is not finite, an interval with a
    single bound or that excludes its value, and a duplicate key.
    """
    keys = set()
    roles: dict[tuple[str, str], str] = {}
    for row in rows:
        where = ", ".join(str(part) for part in row.key if part is not None)
        numbers = [number for number in (row.value, row.low, row.high) if number is not None]
        if row.role not in ROLES:
            raise ExpectedError(f"role {row.role!r} of method {row.method}; a role is one of {', '.join(ROLES)}")
        if roles.setdefault((row.study, row.method), row.role) != row.role:
            raise ExpectedError(f"method {row.method} has two roles, {roles[row.study, row.method]} and {row.role}")
        if not all(math.isfinite(number) for number in numbers):
            raise ExpectedError(f"not finite: {where}; an undefined score is an empty field")
        if not _fits(row):
            raise ExpectedError(f"an interval with a single bound, or that excludes its value: {where}")
        if row.key in keys:
            raise ExpectedError(f"duplicate score: {where}")
        keys.add(row.key)


def _fits(row: Row) -> bool:
    """Whether there is no interval, or one that contains the value."""
    if row.low is None or row.high is None:
        return row.low is row.high
    return row.value is not None and row.low <= row.value <= row.high


def write_results(path: Path, at: StudyPaths, rows: Sequence[Row], digits: int | None = None) -> None:
    """Write the table atomically. digits: significant digits of every number; None: as many as it needs.

    ExpectedError, and nothing written, for rows that `check` rejects.
    """
    check(rows)

    def text(number: float | None) -> str:
        if number is None:
            return ""
        return repr(float(number)) if digits is None else f"{number:.{digits}g}"

    with atomic_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            seed = "" if row.seed is None else row.seed
            numbers = [text(number) for number in (row.value, row.low, row.high)]
            study = at.study if row.study == DEFAULT else row.study
            writer.writerow([at.system, study, row.unit, row.method, row.role, seed, row.metric, *numbers])


def read_results(path: Path, maker: str, again: str = "") -> list[Row]:
    """All rows of a table. maker, again: commands that make and remake it, for error messages.

    ExpectedError if the file is missing, has other columns, no rows or invalid numbers, or `check` rejects a row.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            lines = list(csv.reader(stream, strict=True))
    except FileNotFoundError as error:
        raise ExpectedError(f"{path} not found: `{maker}` makes it") from error
    except (ValueError, csv.Error) as error:
        raise ExpectedError(f"{path}: {error}: `{again or maker}` makes it anew") from error
    try:
        rows = _parsed(lines)
        check(rows)
    except ExpectedError as error:
        raise ExpectedError(f"{path}: {error}: `{again or maker}` makes it anew") from error
    return rows


def _parsed(lines: Sequence[Sequence[str]]) -> list[Row]:
    header = lines[0] if lines else []
    if list(header) != list(COLUMNS):
        missing = [name for name in COLUMNS if name not in header]
        unknown = [name for name in header if name not in COLUMNS]
        found = f"lacks {', '.join(missing)}" if missing else f"has unknown columns {', '.join(unknown) or 'in order'}"
        raise ExpectedError(found)
    if len(lines) == 1:
        raise ExpectedError("has no rows")
    rows = []
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(COLUMNS):
            raise ExpectedError(f"line {number} has {len(line)} fields, not {len(COLUMNS)}")
        _, study, unit, method, role, seed, metric, *scores = line
        try:
            value, low, high = (float(score) if score else None for score in scores)
            rows.append(Row(unit, method, role, metric, value, low, high, int(seed) if seed else None, study))
        except ValueError as error:
            raise ExpectedError(f"line {number}: {error}") from error
    return rows
