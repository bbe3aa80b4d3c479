"""Estimates from measured cells as they go into minibatches: out of fold for training cells, plain for others.

Folds are what the study holds out: whole sections, or blocks of every section. So an estimate of a training cell is as
far from what it rests on as that of a test cell will be.

M: measured cells, N: cells of a neighbourhood, G: genes, S: spatial dimensions.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from pipeline.alphastomics.data.section_splits import block_numbers, block_side
from pipeline.alphastomics.data.sections import Section
from pipeline.alphastomics.data.standardised import Standard, expression_of
from pipeline.alphastomics.model.baselines import FOLDS
from pipeline.alphastomics.model.measured_cells import Codes, CrossFitted, Floats, MeasuredCells
from pipeline.data.coordinates import Coordinates

MOST_MEASURED = 16_384  # cells that estimates rest on; of more, as many at random
_LEAST_BLOCKS = 4  # per side, where a study holds out sections and trains on a single one


class Estimates(Protocol):
    """Estimates of cells of a section: of their places (N, 2, S) from expression, of their expression (N, 4, G)."""

    def __call__(self, section: Section, rows: Codes, x_NG: Floats) -> tuple[Floats, Floats]:
        """Of these rows of the section, whose standardised expression may be thinned."""


class TrainingEstimates:
    """Of training cells, each from the cells of other folds."""

    def __init__(self, sections: Sequence[Section], standard: Standard, split: dict[str, Any], seed: int) -> None:
        """split: as dataset.json describes it."""
        self.by_sections = split["test"]["by"] == "sections" and len(sections) > 1
        self.fold_of = _folds(sections, split, seed)
        fold_M = np.concatenate([self.fold_of[section.code] for section in sections])[_rows(sections, seed)]
        margin = 0.0
        if split["test"]["by"] == "blocks":
            side = max(block_side(_places(section), split["blocks_per_side"]) for section in sections)
            margin = split["margin"] * side
        self.cross_fitted = CrossFitted(*measured(sections, standard, seed), fold_M, margin)
        # Positions are the same at every step, so of data that are small enough this is computed once.
        few = sum(len(section.cells) for section in sections) <= MOST_MEASURED
        self.expressions_of = {section.code: self._expressions(section, slice(None)) for section in sections if few}

    def __call__(self, section: Section, rows: Codes, x_NG: Floats) -> tuple[Floats, Floats]:
        places = self.cross_fitted.places(self.fold_of[section.code][rows], x_NG)
        known = self.expressions_of.get(section.code)
        return places, self._expressions(section, rows) if known is None else known[rows]

    def _expressions(self, section: Section, rows: Codes | slice) -> Floats:
        fold_N, cell_type_N = self.fold_of[section.code][rows], section.cells.cell_type[rows]
        return self.cross_fitted.expressions(fold_N, section.position_NS[rows], cell_type_N)


class NewEstimates:
    """Of cells that are not among the measured ones."""

    def __init__(self, measured: MeasuredCells) -> None:
        self.measured = measured

    def __call__(self, section: Section, rows: Codes, x_NG: Floats) -> tuple[Floats, Floats]:
        expressions = self.measured.expressions(section.position_NS[rows], section.cells.cell_type[rows])
        return self.measured.places(x_NG), expressions


def measured(sections: Sequence[Section], standard: Standard, seed: int) -> tuple[Floats, Floats, Codes]:
    """The cells that estimates rest on: standardised expression (M, G), positions (M, S) and cell types (M,)."""
    rows_M = _rows(sections, seed)
    ends = np.cumsum([len(section.cells) for section in sections])
    parts = [
        (section, rows_M[(rows_M >= end - len(section.cells)) & (rows_M < end)] - (end - len(section.cells)))
        for section, end in zip(sections, ends.tolist(), strict=True)
    ]
    return (
        np.concatenate([expression_of(section.cells, rows, standard) for section, rows in parts]),
        np.concatenate([section.position_NS[rows] for section, rows in parts]),
        np.concatenate([section.cells.cell_type[rows] for section, rows in parts]),
    )


def _rows(sections: Sequence[Section], seed: int) -> Codes:
    """Which cells of all sections, one after the other, estimates rest on; ascending."""
    cells = sum(len(section.cells) for section in sections)
    if cells <= MOST_MEASURED:
        return np.arange(cells)
    return np.sort(np.random.default_rng(seed).choice(cells, MOST_MEASURED, replace=False))


def _folds(sections: Sequence[Section], split: dict[str, Any], seed: int) -> dict[int, Codes]:
    """The fold of every cell, by the code of its section."""
    by_sections = split["test"]["by"] == "sections"
    if by_sections and len(sections) > 1:
        return {section.code: np.full(len(section.cells), section.code) for section in sections}
    blocks = max(_LEAST_BLOCKS, 0 if by_sections else split["blocks_per_side"])
    found = {}
    for section in sections:
        block_N = block_numbers(_places(section), blocks)
        number = block_N.max() + 1
        found[section.code] = (np.random.default_rng([seed, section.code]).permutation(number) % FOLDS)[block_N]
    return found


def _places(section: Section) -> Coordinates:
    return np.asarray(section.position_NS, np.float64)
