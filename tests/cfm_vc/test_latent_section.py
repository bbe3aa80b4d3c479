"""The section on the latent space: by batch only where there are several."""

import pandas as pd

from pipeline.cfm_vc.report.latent import latent
from pipeline.report.page import Figures


def section(batches: list[str]) -> tuple[str, int]:
    """Its lead, and how many pictures it has."""
    spaces = ["expression", "z_int"]
    cells = pd.DataFrame(
        [(batch, space, x, x) for batch in batches for space in spaces for x in (0.0, 1.0)],
        columns=["batch", "space", "x", "y"],
    )
    found = latent(cells.assign(cell_type="B"))
    (figures,) = found.blocks
    assert isinstance(figures, Figures)
    return found.lead, len(figures.pictures)


def test_several_batches_are_shown() -> None:
    assert section(["a", "b"]) == ("A good latent space separates cell types and mixes batches.", 4)


def test_one_batch_is_not() -> None:
    assert section(["all"]) == ("A good latent space separates cell types.", 2)
