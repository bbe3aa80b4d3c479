"""Sections of tissue as the spatial store holds them, each with its cells and the frame of its coordinates.

Axes: N cells, S spatial dimensions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

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

    Memory: the split, twice; once where it is one section. ExpectedError where the store is damaged.
    """
    cells = store.read(split)
    found = []
    for code, name in enumerate(store.categories["section"]):
        rows = np.flatnonzero(cells.covariates["section"] == code)
        if len(rows):
            of_section = cells if len(rows) == len(cells) else cells.select(rows)
            assert of_section.spatial is not None, "a spatial store has positions"
            found.append(Section(name, code, of_section, of_section.spatial, frame_of(store, name)))
    return found


def thinned(sections: Sequence[Section], most: int, seed: int) -> list[Section]:
    """The sections as they are or, where they have more than `most` cells together, the same random share of each."""
    total = sum(len(section.cells) for section in sections)
    if total <= most:
        return list(sections)
    rng = np.random.default_rng(seed)
    found = []
    for section in sections:
        cells = len(section.cells)
        rows = np.sort(rng.choice(cells, min(cells, math.ceil(cells * most / total)), replace=False))
        found.append(replace(section, cells=section.cells.select(rows), position_NS=section.position_NS[rows]))
    return found


def frame_of(store: Store, section: str) -> Frame:
    """The frame of a section of the store."""
    described = store.dataset["sections"][section]
    return Frame(**{key: described[key] for key in FRAME})
