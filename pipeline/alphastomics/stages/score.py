"""Positions from expression and expression from positions, on held-out sections or blocks of them, beside baselines and
controls."""

from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from pipeline.alphastomics.data.sections import read_sections
from pipeline.alphastomics.data.standardised import expression_of
from pipeline.alphastomics.decisive import DIGITS, boards
from pipeline.alphastomics.evaluation.judge import Judged, judge
from pipeline.alphastomics.evaluation.result_rows import difference_intervals, result_rows, score_rows
from pipeline.alphastomics.evaluation.tables import section_tables
from pipeline.alphastomics.model.baselines import Reference
from pipeline.alphastomics.model.network import SpatialDiffusion
from pipeline.alphastomics.model.tissue_inference import TrainedTissue
from pipeline.alphastomics.params.evaluate import Evaluate
from pipeline.core.entry import run_study_stage
from pipeline.core.files import atomic_folder
from pipeline.core.paths import StudyPaths
from pipeline.data.store import Store, open_store
from pipeline.metrics.ranking import table
from pipeline.metrics.results import write_results
from pipeline.metrics.runs import RESULTS
from pipeline.training.determinism import prepare_device
from pipeline.training.weights import load_model

SECTION = "alphastomics.evaluate"

# Cells that baselines learn from, and that are judged; of larger data about so many, the same random share of each
# section: baselines compare every cell with every training cell, and some twenty methods answer with the expression of
# all cells.
MOST_LEARNED, MOST_JUDGED = 50_000, 20_000


def run(settings: Evaluate, at: StudyPaths) -> None:
    """Score every method on every held-out section; write the rows of results and what the figures show."""
    with threadpool_limits(settings.threads):  # part of the result, since sums depend on their order
        store = open_store(at.store, "spatial")
        judged = judge_sections(store, at.model, settings)
        tables = [section_tables(one, store, settings.seed) for one in judged]
    rows = result_rows(score_rows(judged), difference_intervals(judged))
    with atomic_folder(at.scored) as folder:
        write_results(folder / RESULTS, at, rows, DIGITS)
        for name in tables[0]:
            frame = pd.concat([part[name] for part in tables], ignore_index=True)
            frame.to_parquet(folder / f"{name}.parquet", index=False)
    for task, board in boards(rows).items():
        print(f"{task}, mean over {len(judged)} held-out sections (* best; controls do not compete)\n{table(board)}")


def judge_sections(store: Store, model_folder: Path, settings: Evaluate) -> list[Judged]:
    """Every test section put to the trained model, the baselines and the controls."""
    device = prepare_device(settings.device, settings.threads)
    model, config = load_model(model_folder, SpatialDiffusion, device)
    trained = TrainedTissue.of(model, config)
    # Baselines may learn from both.
    share = MOST_LEARNED / max(store.cells("train") + store.cells("validation"), 1)
    learned = [
        *read_sections(store, "train", share, settings.seed),
        *read_sections(store, "validation", share, settings.seed),
    ]
    reference = Reference(
        np.concatenate([expression_of(part.cells, slice(None), trained.standard) for part in learned]),
        np.concatenate([part.position_NS for part in learned]),
        np.concatenate([part.cells.cell_type for part in learned]),
    )
    tested = read_sections(store, "test", MOST_JUDGED / max(store.cells("test"), 1), settings.seed)
    return [judge(section, trained, reference, settings) for section in tested]


if __name__ == "__main__":
    run_study_stage(SECTION, run)
