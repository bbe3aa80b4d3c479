"""What the figures show of one section; positions in the unit of the input."""

import numpy as np
import pandas as pd

from pipeline.alphastomics.decisive import MODEL
from pipeline.alphastomics.evaluation.judge import Judged
from pipeline.alphastomics.metrics.alignment import kabsch
from pipeline.alphastomics.model.calibration import LEVELS, SHOWN_LEVEL
from pipeline.data.columns import UNKNOWN
from pipeline.data.store import Store

SHOWN_PAIRS = 2000  # pairs of cells whose distances are drawn, of each section


def section_tables(one: Judged, store: Store, seed: int) -> dict[str, pd.DataFrame]:
    """Cells at their measured and predicted positions, distances of pairs, scores of genes, and three genes."""
    section, placed, types = one.section, one.placed, store.categories["cell_type"]
    alignment = kabsch(placed.estimate_NS, section.position_NS, reflection=True)
    true_NS = section.frame.restored(section.position_NS)
    predicted_NS = section.frame.restored(alignment.apply(placed.estimate_NS).astype(np.float32))
    cells = {
        "section": section.name,
        "cell": section.cells.names,
        "cell_type": np.array([*types, UNKNOWN], object)[np.minimum(section.cells.cell_type, len(types))],
        **{f"true_{axis}": true_NS[:, axis] for axis in range(true_NS.shape[1])},
        **{f"predicted_{axis}": predicted_NS[:, axis] for axis in range(true_NS.shape[1])},
        "spread": placed.spread_N * section.frame.scale,
        "radius_90": placed.radius_NL[:, LEVELS.index(SHOWN_LEVEL)] * section.frame.scale,
        "error": np.linalg.norm(one.aligned_NS - section.position_NS, axis=1) * section.frame.scale,
    }
    rng = np.random.default_rng([seed, section.code])
    pair_2P = rng.integers(len(true_NS), size=(2, SHOWN_PAIRS))
    pair_2P = pair_2P[:, pair_2P[0] != pair_2P[1]]
    true_P, predicted_P = (np.linalg.norm(at[pair_2P[0]] - at[pair_2P[1]], axis=1) for at in (true_NS, predicted_NS))
    of_all = {"section": section.name, "gene": store.genes, "pcc_ceiling": one.ceiling_G}
    genes = [pd.DataFrame({**of_all, "method": method, **scores.genes}) for method, scores in one.expression.items()]
    return {
        "cells": pd.DataFrame(cells),
        "distances": pd.DataFrame({"section": section.name, "true": true_P, "predicted": predicted_P}),
        "genes": pd.concat(genes),
        "expression": _example_genes(one, store),
    }


def _example_genes(one: Judged, store: Store) -> pd.DataFrame:
    """The genes that the model predicts best, at the median and worst by PCC, cell by cell."""
    scores = one.expression[MODEL]
    order = np.flatnonzero(scores.varies_G)[np.argsort(scores.genes["pcc"][scores.varies_G], kind="stable")]
    roles = {"best": order[-1], "median": order[len(order) // 2], "worst": order[0]}
    columns = [
        {
            "section": one.section.name,
            "gene": store.genes[gene],
            "role": role,
            "cell": one.section.cells.names,
            "true": one.standard_NG[:, gene],
            "predicted": one.expressed.estimate_NG[:, gene],
        }
        for role, gene in roles.items()
    ]
    return pd.concat([pd.DataFrame(part) for part in columns])
