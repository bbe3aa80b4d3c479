"""Inputs of the evaluation: the held-out cells, and the training data that predictions may use.

Cells are streamed; only their labels are kept in memory for all of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from pipeline.cfm_vc.data.groups import Group, Moments, group_moments, group_samples, sources
from pipeline.core.errors import ExpectedError
from pipeline.data.cells import Cells, concatenate
from pipeline.data.expression import median_library_size
from pipeline.data.store import Split, Store

KNOWN: tuple[Split, ...] = ("train", "validation")


@dataclass(frozen=True)
class HeldOutGroup:
    """A held-out (cell type, perturbation) pair: its measured cells, and the controls that predictions start from.

    `truth` holds the moments of all its cells, `halves` those of a random half and of the rest (None if either has
    fewer than two cells); `truth_cells`, `control_cells` and `perturbed_cells` are samples. The controls are training
    cells. The perturbed cells are training cells of the groups listed by `sources`, the same number from each or all it
    has (None if there is no such group).
    """

    cell_type: int
    perturbation: int
    truth: Moments
    halves: tuple[Moments, Moments] | None
    truth_cells: Cells
    control_cells: Cells
    perturbed_cells: Cells | None


@dataclass(frozen=True)
class HeldOut:
    """All held-out groups in the order of params.yaml, and the moments of every training group.

    shuffled: the same moments after a permutation of the perturbation labels within each cell type, as a negative
    control; target: counts per cell after normalisation, the median library size of the training controls.
    """

    target: float
    control: int
    known: dict[Group, Moments]
    shuffled: dict[Group, Moments]
    groups: list[HeldOutGroup]


def blocks(store: Store, splits: tuple[Split, ...], named: bool = True) -> Iterator[Cells]:
    """Cells of these splits in stored order, one row group at a time; without names they are read faster."""
    for split in splits:
        yield from store.blocks(split, named)


def read_held_out(store: Store, most: int, seed: int) -> HeldOut:
    """Read the held-out groups, with samples of at most `most` cells.

    ExpectedError if a held-out group has fewer than two cells, or its cell type fewer than two training controls.
    """
    control = store.categories["perturbation"].index(store.control)
    labels = _Labels.of(blocks(store, KNOWN, named=False))
    target = median_library_size(labels.library_size[labels.perturbation == control])
    known = group_moments(blocks(store, KNOWN, named=False), target)
    shuffled = group_moments(_relabelled(blocks(store, KNOWN, named=False), labels.shuffled(seed)), target)
    truth = group_moments(blocks(store, ("test",), named=False), target)
    first, second = (group_moments(_half(store, seed, chosen), target) for chosen in (True, False))
    pairs = [_pair(store, pair) for pair in store.dataset["held_out"]]
    truth_cells = group_samples(blocks(store, ("test",)), pairs, most, seed)
    controls = [(cell_type, control) for cell_type in sorted({pair[0] for pair in pairs})]
    others = {pair: sources(known, pair, control) for pair in pairs}
    control_cells = group_samples(blocks(store, KNOWN), controls, most, seed + 1)
    wanted = sorted({group for named in others.values() for group in named})
    each = max((-(-most // len(named)) for named in others.values() if named), default=0)
    perturbed_cells = group_samples(blocks(store, KNOWN), wanted, each, seed + 2)
    groups = []
    for cell_type, perturbation in pairs:
        name = f"({store.categories['cell_type'][cell_type]}, {store.categories['perturbation'][perturbation]})"
        _two_or_more(truth.get((cell_type, perturbation)), f"held-out group {name}", "cells")
        _two_or_more(known.get((cell_type, control)), f"the cell type of held-out group {name}", "training controls")
        groups.append(
            HeldOutGroup(
                cell_type,
                perturbation,
                truth[cell_type, perturbation],
                _both(first.get((cell_type, perturbation)), second.get((cell_type, perturbation))),
                truth_cells[cell_type, perturbation],
                control_cells[cell_type, control],
                _equal_parts([perturbed_cells[group] for group in others[cell_type, perturbation]], most, seed),
            )
        )
    return HeldOut(target, control, known, shuffled, groups)


def read_sample(store: Store, groups: list[Group], most: int, seed: int) -> Cells:
    """At most `most` training cells, the same number of every group or all it has, in random order."""
    each = max(1, most // len(groups))
    cells = concatenate(list(group_samples(blocks(store, ("train",)), groups, each, seed).values()))
    return cells.select(np.random.default_rng(seed).permutation(len(cells)))


@dataclass(frozen=True)
class _Labels:
    """Codes and library size of every training cell, in stored order."""

    cell_type: npt.NDArray[np.int64]
    perturbation: npt.NDArray[np.int64]
    library_size: npt.NDArray[np.int64]

    @classmethod
    def of(cls, cells: Iterable[Cells]) -> Self:
        parts = [(block.cell_type, block.perturbation, block.library_size) for block in cells]
        return cls(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def shuffled(self, seed: int) -> npt.NDArray[np.int64]:
        """The perturbations, permuted among the cells of each cell type."""
        random = np.random.default_rng(seed)
        perturbation = self.perturbation.copy()
        for cell_type in np.unique(self.cell_type):
            rows = np.flatnonzero(self.cell_type == cell_type)
            perturbation[rows] = random.permutation(perturbation[rows])
        return perturbation


def _relabelled(cells: Iterable[Cells], perturbation: npt.NDArray[np.int64]) -> Iterator[Cells]:
    start = 0
    for block in cells:
        yield block.relabelled(perturbation=perturbation[start : start + len(block)])
        start += len(block)


def _equal_parts(parts: list[Cells], most: int, seed: int) -> Cells | None:
    """At most `most` of these cells, from each part the same number or all it has."""
    if not parts:
        return None
    random = np.random.default_rng(seed)
    each = -(-most // len(parts))
    chosen = [part.select(np.sort(random.permutation(len(part))[:each])) for part in parts]
    cells = concatenate(chosen)
    return cells.select(np.sort(random.permutation(len(cells))[:most]))


def _half(store: Store, seed: int, chosen: bool) -> Iterator[Cells]:
    """A random half of the test cells, or the other half."""
    random = np.random.default_rng(seed)
    for block in blocks(store, ("test",), named=False):
        yield block.select(np.flatnonzero((random.random(len(block)) < 0.5) == chosen))


def _both(first: Moments | None, second: Moments | None) -> tuple[Moments, Moments] | None:
    return (first, second) if first and second and min(first.cells, second.cells) >= 2 else None


def _pair(store: Store, pair: dict[str, str]) -> Group:
    categories = store.categories
    return categories["cell_type"].index(pair["cell_type"]), categories["perturbation"].index(pair["perturbation"])


def _two_or_more(moments: Moments | None, owner: str, what: str) -> None:
    found = moments.cells if moments else 0
    if found < 2:
        raise ExpectedError(
            f"{owner} has {found} {what}; evaluation needs at least two: "
            "hold out another pair (held_out of the study), or filter fewer cells"
        )
