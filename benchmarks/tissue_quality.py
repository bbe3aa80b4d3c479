"""How well the held-out block was placed in a folder of `benchmarks.tissue`: the stitched placement of the command
`sample`, and baselines. A row of markdown for each; scores are those of the stage `score`, on the cells it takes.

    python -m benchmarks.tissue_quality /tmp/bench/tissue_10000
"""

import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd

from benchmarks.tissue import MODEL, STORE
from pipeline.alphastomics.data.sections import read_sections
from pipeline.alphastomics.data.standardised import expression_of
from pipeline.alphastomics.metrics.placement import placement_scores
from pipeline.alphastomics.model.baselines import PLACEMENT, Query, Reference
from pipeline.alphastomics.stages.score import MOST_JUDGED, MOST_LEARNED
from pipeline.alphastomics.trained import Tissue
from pipeline.data.store import open_store

SHOWN = ("spearman_distances", "knn_overlap", "rmsd_in_frame_over_gyration")


def main() -> None:
    folder = Path(sys.argv[1])
    store = open_store(folder / STORE, "spatial")
    (tested,) = read_sections(store, "test", MOST_JUDGED / store.cells("test"))
    (learned,) = read_sections(store, "train", MOST_LEARNED / store.cells("train"))
    placed = anndata.read_h5ad(folder / "placed.h5ad")
    row_of = pd.Series(np.arange(placed.n_obs), placed.obs_names)[tested.cells.names].to_numpy()
    found = {"model, stitched": tested.frame.scaled(np.asarray(placed.obsm["spatial"])[row_of])}
    standard = Tissue.load(folder / MODEL).trained.standard
    reference = Reference(
        expression_of(learned.cells, slice(None), standard), learned.position_NS, learned.cells.cell_type
    )
    query = Query(expression_of(tested.cells, slice(None), standard), None, tested.cells.cell_type, 0)
    for name, method in PLACEMENT.items():
        found[name] = method(reference, query).astype(np.float32)
    for name, place_NS in found.items():
        scores = placement_scores(tested.position_NS, place_NS)
        print(f"| {placed.n_obs:,} | {name} | {' | '.join(f'{scores[metric]:.3f}' for metric in SHOWN)} |")


if __name__ == "__main__":
    main()
