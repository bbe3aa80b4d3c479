"""Sections of tissue as the spatial store holds them, each with its cells and the frame of its coordinates.

Axes: N cells, S spatial dimensions.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.data.cells import Cells, Places
from pipeline.data.coordinates import Frame
from pipeline.data.store import Split, Store

FRAME = ("dimensions", "centre", "scale")  # of a section's entry in dataset.json


@dataclass(frozen=True)
class Section:
    """The cells of one section in one split; a split by blocks leaves gaps."""

    name: str
    code: int  # into the store's categories of `section`
    cells: Cells  # N of them
    position_NS: Places  # in the section's frame
    frame: Frame  # puts positions back into the unit of the input


def read_sections(store: Store, split: Split) -> list[Section]:
    """All sections with cells in a split, by their code; the cells of each in the order of the store.

    Memory: the split, twice. ExpectedError where the store is damaged.
    """
    cells = store.read(split)
    found = []
    for code, name in enumerate(store.categories["section"]):
        rows = np.flatnonzero(cells.covariates["section"] == code)
        if len(rows):
            of_section = cells.select(rows)
            assert of_section.spatial is not None, "a spatial store has positions"
            found.append(Section(name, code, of_section, of_section.spatial, frame_of(store, name)))
    return found


def frame_of(store: Store, section: str) -> Frame:
    """The frame of a section of the store."""
    described = store.dataset["sections"][section]
    return Frame(**{key: described[key] for key in FRAME})
