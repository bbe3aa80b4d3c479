"""The runs of a study, each trained on one fold with one seed, gathered into one table of results."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.core.paths import StudyPaths
from pipeline.metrics.differences import difference_rows, mean_rows
from pipeline.metrics.glossary import Glossary
from pipeline.metrics.results import ALL, Row, read_results

RESULTS = "results.csv"  # of one run, in its folder


@dataclass(frozen=True)
class Run:
    """What one run scored."""

    at: StudyPaths
    rows: Sequence[Row]

    @property
    def units(self) -> set[str]:
        return {row.unit for row in self.rows if row.unit != ALL}


def read_runs(at: StudyPaths, folds: Mapping[str, Sequence[int]]) -> list[Run]:
    """Every run of a study, of each fold with its seeds. ExpectedError where one is missing or damaged."""
    found = []
    for fold, seeds in folds.items():
        for seed in seeds:
            place = replace(at, fold=fold, seed=seed)
            maker = f"dvc repro score@{place.system}-{place.instance}"
            found.append(Run(place, read_results(place.scored / RESULTS, maker, maker)))
    return found


def first_run(at: StudyPaths, folds: Mapping[str, Sequence[int]]) -> StudyPaths:
    """Where the first run lies, whose training and quality control stand for all in the report."""
    fold, seeds = next(iter(folds.items()))
    return replace(at, fold=fold, seed=seeds[0])


def gathered(runs: Sequence[Run], glossary: Glossary | None = None) -> list[Row]:
    """The rows of all runs: scores of single units, their means, and differences to the baselines.

    Those of a single run stay as they are, with the intervals that its own resamples gave. Of several runs, a score is
    that of a unit and a seed, and the interval of a difference is by Student's t: within a unit over seeds; over all,
    over the units' means, so that it covers other units too, or over the seeds where there is one unit
    (`difference_rows`, which takes the glossary). A unit that a single run scored has one seed, and keeps the interval
    of that run's resamples.
    """
    if len(runs) == 1:
        return list(runs[0].rows)
    single = [
        replace(row, seed=run.at.seed)
        for run in runs
        for row in run.rows
        if row.unit != ALL and row.role != "difference"
    ]
    own = _of_units_scored_once(runs)
    found = difference_rows(single, glossary)
    differences = [own.get((row.unit, row.method, row.metric), row) for row in found if row.value is not None]
    if len({row.unit for row in single}) == 1:
        kept = [row for row in differences if row.unit != ALL]
        differences = [*kept, *(replace(row, unit=ALL) for row in kept)]
    return [*single, *mean_rows(single), *differences]


def _of_units_scored_once(runs: Sequence[Run]) -> dict[tuple[str, str, str], Row]:
    """The differences within units that a single run scored, as that run wrote them: by unit, method and metric."""
    times = Counter(unit for run in runs for unit in run.units)
    return {
        (row.unit, row.method, row.metric): row
        for run in runs
        for row in run.rows
        if row.role == "difference" and row.value is not None and times[row.unit] == 1  # never ALL, which is no unit
    }


def shown_runs(runs: Sequence[Run]) -> list[Run]:
    """Runs whose predictions the figures show: each unit once, by the first run that predicted it."""
    shown: list[Run] = []
    for run in runs:
        if all(run.units.isdisjoint(other.units) for other in shown):
            shown.append(run)
    return shown


def parts(runs: Sequence[Run], name: str) -> Mapping[str, Path]:
    """The file of this name that each run wrote, by run."""
    return {run.at.run: run.at.scored / name for run in runs}
