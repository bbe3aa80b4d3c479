"""Sections of tissue as the spatial store holds them, each with its cells and the frame of its coordinates.

Axes: N cells, S spatial dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.data.cells import Cells, Codes, Places, concatenate
from pipeline.data.columns import UNKNOWN, UNKNOWN_TYPE
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


def read_sections(store: Store, split: Split, share: float = 1.0, seed: int = 0) -> list[Section]:
    """All sections with cells in a split, by their code; the cells of each in the order of the store. Cells whose type
    is missing have the code UNKNOWN_TYPE: they are no type of their own.

    share: of the cells, at random; below 1 the others are never in memory together. Memory: the split, twice.
    ExpectedError where the store is damaged.
    """
    cells = store.read(split) if share >= 1 or not store.cells(split) else _share_of(store, split, share, seed)
    cells = cells.relabelled(cell_type=known_types(cells.cell_type, store.categories["cell_type"]))
    found = []
    for code, name in enumerate(store.categories["section"]):
        rows = np.flatnonzero(cells.covariates["section"] == code)
        if len(rows):
            of_section = cells if len(rows) == len(cells) else cells.select(rows)
            assert of_section.spatial is not None, "a spatial store has positions"
            found.append(Section(name, code, of_section, of_section.spatial, frame_of(store, name)))
    return found


def known_types(code_N: Codes, categories: Sequence[str]) -> Codes:
    """The codes (N,), UNKNOWN_TYPE for the category that stands for a missing type."""
    if UNKNOWN not in categories:
        return code_N
    return np.where(code_N == list(categories).index(UNKNOWN), UNKNOWN_TYPE, code_N).astype(code_N.dtype)


def _share_of(store: Store, split: Split, share: float, seed: int) -> Cells:
    """A random share of the cells of a split, by row groups."""
    rng = np.random.default_rng(seed)
    parts = []
    for row_group in store.row_groups(split):
        cells = store.read_row_group(row_group)
        parts.append(cells.select(np.flatnonzero(rng.random(len(cells)) < share)))
    return concatenate(parts)


def frame_of(store: Store, section: str) -> Frame:
    """The frame of a section of the store."""
    described = store.dataset["sections"][section]
    return Frame(**{key: described[key] for key in FRAME})
