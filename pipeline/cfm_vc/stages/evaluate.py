"""Gather what the runs of a study scored: one table of results, the headlines, and the tables behind the figures."""

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.cfm_vc.decisive import decisive
from pipeline.cfm_vc.glossary import GLOSSARY
from pipeline.core.entry import run_study_stage
from pipeline.core.files import atomic_folder
from pipeline.core.paths import StudyPaths
from pipeline.metrics.headlines import write_headlines
from pipeline.metrics.ranking import table
from pipeline.metrics.results import write_results
from pipeline.metrics.runs import gathered, parts, read_runs, shown_runs
from pipeline.metrics.scoreboard import scoreboard
from pipeline.metrics.verdict import compare
from pipeline.params.runs import Runs

SECTION = "cfm_vc.runs"
LATENT = "expression_latent.parquet"  # of the first run alone: other runs have other latent spaces


def run(runs: Runs, at: StudyPaths) -> None:
    """Write the results, the headlines and the details of a study."""
    found = read_runs(at, runs.folds)
    rows = gathered(found, GLOSSARY)
    board = scoreboard(rows, GLOSSARY)
    write_results(at.results, at, rows)
    write_headlines(at.headlines, {metric.name: compare(board, metric) for metric in decisive(board)})
    shown = shown_runs(found)
    with atomic_folder(at.details) as folder:
        for name, of in {"change.parquet": shown, "population.parquet": shown, LATENT: shown[:1]}.items():
            tables = [pq.read_table(path) for path in parts(of, name).values()]
            pq.write_table(pa.concat_tables(tables), folder / name)
    print(f"mean over {len(board.units)} held-out groups (* best; ceilings and controls do not compete)")
    print(table(board))


if __name__ == "__main__":
    run_study_stage(SECTION, run)
