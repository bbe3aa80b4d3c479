"""The section on the latent space: cells before and after encoding."""

import numpy as np
import pandas as pd

from pipeline.cfm_vc.plots.embedding import draw_embedding
from pipeline.report.page import Figures, Section


def latent(cells: pd.DataFrame) -> Section:
    """Cells (cell_type, batch, space, x, y) before and after encoding, by cell type and by batch."""
    spaces = {"expression": "Before: expression", "z_int": "After: latent space"}
    pictures = []
    for column, called, in_place in (("cell_type", "cell type", True), ("batch", "batch", False)):
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
    lead = "A good latent space separates cell types and mixes batches."
    caption = (
        "First two principal components of log-normalised expression (before) and of the posterior means of z_int, "
        "the intrinsic latent (after)."
    )
    return Section("Latent space", "latent", lead, [Figures(pictures, caption)])
