"""The section on the latent space: cells before and after encoding."""

import numpy as np
import pandas as pd

from pipeline.cfm_vc.plots.embedding import draw_embedding
from pipeline.report.page import Figures, Section


def latent(cells: pd.DataFrame, encoder: str = "") -> Section:
    """Cells (cell_type, batch, space, x, y) before and after encoding, by cell type and, of several, by batch.

    encoder: of which run the encoder is, where there are several: "of seed 0".
    """
    spaces = {"expression": "Before: expression", "z_int": "After: latent space"}
    pictures = []
    batches = cells["batch"].nunique() > 1  # one batch would be one colour
    covariates = [("cell_type", "cell type", True), *([("batch", "batch", False)] if batches else [])]
    for column, called, in_place in covariates:
        for space, title in spaces.items():
            shown = cells[cells["space"] == space]
            pictures.append(
                draw_embedding(
                    f"{title}, by {called}",
                    shown["x"].to_numpy(np.float64),
                    shown["y"].to_numpy(np.float64),
                    [str(label) for label in shown[column]],
                    "principal component",
                    in_place,
                )
            )
    lead = f"A good latent space separates cell types{' and mixes batches' if batches else ''}."
    caption = (
        "First two principal components of log-normalised expression (before) and of the posterior means of z_int, "
        f"the intrinsic latent (after){encoder and f', by the encoder {encoder}'}."
    )
    return Section("Latent space", "latent", lead, [Figures(pictures, caption)])
