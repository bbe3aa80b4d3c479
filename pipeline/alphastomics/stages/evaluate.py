"""Gather what the runs of a study scored: one table of results, the headlines, and what the figures show."""

import pandas as pd

from pipeline.alphastomics.decisive import DIGITS, HEADLINES, boards, comparisons
from pipeline.core.entry import run_study_stage
from pipeline.core.files import atomic_folder
from pipeline.core.paths import StudyPaths
from pipeline.metrics.headlines import write_headlines
from pipeline.metrics.ranking import table
from pipeline.metrics.results import write_results
from pipeline.metrics.runs import gathered, parts, read_runs, shown_runs
from pipeline.params.runs import Runs

SECTION = "alphastomics.runs"
DETAILS = ("cells", "distances", "genes", "expression")


def run(runs: Runs, at: StudyPaths) -> None:
    """Write the results, the headlines and the details of a study."""
    found = read_runs(at, runs.folds)
    rows = gathered(found)
    of_task = boards(rows)
    decisive = [one for of in comparisons(of_task).values() for one in of]
    write_results(at.results, at, rows, DIGITS)
    write_headlines(at.headlines, {one.metric.name: one for one in decisive if one.metric.name in HEADLINES})
    with atomic_folder(at.details) as folder:
        for name in DETAILS:
            tables = [pd.read_parquet(path) for path in parts(shown_runs(found), f"{name}.parquet").values()]
            pd.concat(tables, ignore_index=True).to_parquet(folder / f"{name}.parquet", index=False)
    for task, board in of_task.items():
        print(f"{task}, mean over {len(board.units)} held-out sections (* best; controls do not compete)")
        print(table(board))


if __name__ == "__main__":
    run_study_stage(SECTION, run)
