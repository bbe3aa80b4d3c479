"""Moments and samples of each (cell type, perturbation) group of cells, computed in one pass each.

Both take blocks of cells, so memory does not grow with the number of cells. A group is a pair of codes into the store's
categories.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.data.cells import Cells, concatenate
from pipeline.data.expression import log_normalise_entries

Array = npt.NDArray[np.float64]
Group = tuple[int, int]  # codes of cell type and perturbation


@dataclass(frozen=True, eq=False)  # equal only to itself: arrays do not compare as one
class Moments:
    """Number of cells, and per gene the mean and the sum of squares of log-normalised expression, each (G,)."""

    cells: int
    mean_G: Array
    squares_G: Array

    @property
    def variance_G(self) -> Array:
        """Unbiased variance per gene; 0 for fewer than two cells."""
        if self.cells < 2:
            return np.zeros_like(self.mean_G)
        # Rounding can leave a constant gene slightly below 0.
        spread_G = np.maximum(self.squares_G - self.cells * self.mean_G**2, 0)
        return np.where(spread_G > 1e-12 * self.squares_G, spread_G, 0) / (self.cells - 1)

    @property
    def noise_G(self) -> Array:
        """Variance of the mean, by the sampling of cells."""
        return self.variance_G / self.cells


def sources(known: Mapping[Group, Any], asked: Group, control: int) -> list[Group]:
    """The groups most informative about the one asked for, which is never among them.

    The first of these that exists: the same perturbation in other cell types; other perturbations of the same cell
    type; all perturbed groups. Empty where nothing was perturbed.
    """
    perturbed = [group for group in known if group[1] != control and group != asked]
    same = [group for group in perturbed if group[1] == asked[1]]
    own = [group for group in perturbed if group[0] == asked[0]]
    return same or own or perturbed


def group_moments(blocks: Iterable[Cells], target: float) -> dict[Group, Moments]:
    """Moments of log-normalised expression for every group that occurs, in order of cell type and perturbation.

    target: counts per cell after normalisation. Only stored counts are visited, since 0 stays 0.
    """
    cells: dict[Group, int] = {}
    totals: dict[Group, Array] = {}
    squares: dict[Group, Array] = {}
    for block in blocks:
        if not len(block):
            continue
        pairs = np.stack([block.cell_type, block.perturbation], axis=1)
        found, code, number = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
        cell = np.repeat(np.arange(len(block)), np.diff(block.indptr))
        values = log_normalise_entries(block.counts, cell, block.library_size, target)
        place = code.reshape(-1)[cell] * block.genes + block.indices
        shape = (len(found), block.genes)
        total_PG = np.bincount(place, values, len(found) * block.genes).reshape(shape)
        square_PG = np.bincount(place, values**2, len(found) * block.genes).reshape(shape)
        for row, (cell_type, perturbation) in enumerate(found):
            group = (int(cell_type), int(perturbation))
            cells[group] = cells.get(group, 0) + int(number[row])
            totals[group] = totals.get(group, 0) + total_PG[row]
            squares[group] = squares.get(group, 0) + square_PG[row]
    return {group: Moments(cells[group], totals[group] / cells[group], squares[group]) for group in sorted(cells)}


def group_samples(blocks: Iterable[Cells], wanted: Collection[Group], most: int, seed: int) -> dict[Group, Cells]:
    """For each wanted group that occurs, at most `most` of its cells, drawn without replacement, in stored order.

    Each cell draws a priority and the smallest stay, so the sample depends on the seed and the order of cells, not on
    the size of the blocks.
    """
    random = np.random.default_rng(seed)
    kept: dict[Group, tuple[Cells, Array]] = {}
    for block in blocks:
        priority_B = random.random(len(block))
        for group in wanted:
            mine_B = (block.cell_type == group[0]) & (block.perturbation == group[1])
            if group in kept and len(kept[group][0]) == most:
                mine_B &= priority_B < kept[group][1].max()
            rows = np.flatnonzero(mine_B)
            if not len(rows):
                continue
            cells, priority = block.select(rows), priority_B[rows]
            if group in kept:
                cells, priority = concatenate([kept[group][0], cells]), np.concatenate([kept[group][1], priority])
            if len(cells) > most:
                chosen = np.sort(np.argsort(priority, kind="stable")[:most])
                cells, priority = cells.select(chosen), priority[chosen]
            kept[group] = (cells, priority)
    return {group: kept[group][0] for group in wanted if group in kept}
