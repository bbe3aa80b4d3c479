"""Neighbourhoods of cells, sampled by locality from sections of any size, as minibatches with masks.

A neighbourhood is a random choice of cells from a window of its section. Windows are of all sizes: from one that holds
no other cells, so that the neighbourhood is a whole patch of tissue, to the section, of which it is a thin sample. A
network that predicts the positions of a section from expression alone, where patches are unknown, needs both.

B: neighbourhoods, N: cells of the largest of them, G: genes, S: spatial dimensions.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from pipeline.alphastomics.data.near_estimates import Estimates
from pipeline.alphastomics.data.sections import Section
from pipeline.alphastomics.data.standardised import Standard, expression_of

_WHOLE = 0.5  # a window of more than this share of a section is the whole section, without a nearest-neighbour search

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class NeighbourhoodBatch:
    """B neighbourhoods, padded to the largest; everything but `names` is on the training device."""

    x_BNG: Tensor  # standardised expression, float32; 0 at padding
    position_BNS: Tensor  # in the frame of the section, which may have been centred; 0 at padding
    mask_BN: Tensor  # true where there is a cell
    cell_type_BN: Tensor  # int64 codes
    section_B: Tensor  # int64 codes
    names: list[str]  # section and first cells of each neighbourhood, for messages
    near_place_BNKS: Tensor | None = None  # estimates from measured cells, where they are shown; 0 at padding
    near_x_BNKG: Tensor | None = None

    def __len__(self) -> int:
        return len(self.section_B)

    def part(self, first: int, count: int) -> Self:
        """The minibatch of these of its neighbourhoods, padded as it is."""
        chosen = slice(first, first + count)
        return replace(self, **{name: value[chosen] for name, value in vars(self).items() if value is not None})


class SampledNeighbourhoods:
    """Training minibatches: `per_epoch` neighbourhoods of exactly `cells` cells."""

    def __init__(
        self,
        sections: Sequence[Section],
        standard: Standard,
        cells: int,
        per_epoch: int,
        batch_size: int,
        device: torch.device,
        seed: int,
        scattered: float = 0.5,
        thinning: float = 0.0,
        centred: bool = True,
        estimates: Estimates | None = None,
    ) -> None:
        """scattered: the chance that a neighbourhood is drawn from its whole section. thinning: each cell keeps a
        random share of its counts, at least 1 - thinning, as if sequenced less deeply: augmentation by
        downsampling. centred: positions are about the mean of the neighbourhood, not of the section. estimates: what to
        add to minibatches. ValueError where a section has fewer cells than a neighbourhood."""
        small = [section.name for section in sections if len(section.cells) < cells]
        if small or not sections:
            raise ValueError(f"sections with fewer than {cells} cells: {', '.join(small) or 'there are none at all'}")
        self.sections, self.standard, self.cells = sections, standard, cells
        self.per_epoch, self.batch_size, self.device = per_epoch, batch_size, device
        self.seed, self.scattered, self.thinning = seed, scattered, thinning
        self.centred, self.estimates = centred, estimates
        sizes = np.array([len(section.cells) for section in sections], np.float64)
        self._chance = sizes / sizes.sum()
        self._trees = [cKDTree(section.position_NS) for section in sections]

    def __len__(self) -> int:
        """Minibatches of an epoch."""
        return -(-self.per_epoch // self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[NeighbourhoodBatch]:
        """Minibatches `start`, `start` + 1, ... of this epoch: a function of the seed and the two numbers alone."""
        for step in range(start, len(self)):
            rng = np.random.default_rng([self.seed, number, step])
            size = min(self.batch_size, self.per_epoch - step * self.batch_size)
            drawn = [self._draw(rng) for _ in range(size)]
            thinned = (self.thinning, rng) if self.thinning > 0 else None
            yield assemble(drawn, self.standard, self.device, thinned, self.centred, self.estimates)

    def names(self, batch: NeighbourhoodBatch) -> list[str]:
        """Names of a minibatch's neighbourhoods, for messages."""
        return batch.names

    def _draw(self, rng: np.random.Generator) -> tuple[Section, Rows]:
        place = int(rng.choice(len(self.sections), p=self._chance))
        section, size = self.sections[place], len(self.sections[place].cells)
        window = size
        if rng.random() >= self.scattered:
            window = round(self.cells * (size / self.cells) ** rng.random())  # log-uniform
        if window > _WHOLE * size:
            return section, rng.choice(size, self.cells, replace=False)
        centre = section.position_NS[rng.integers(size)]
        _, near = self._trees[place].query(centre, k=max(window, self.cells))
        return section, np.asarray(near, np.int64)[rng.permutation(len(near))[: self.cells]]


class AllNeighbourhoods:
    """Every cell of the sections `times` times, in neighbourhoods of at most `cells` that are spread over their
    section, for validation with several draws of noise. The choice depends on the seed alone.

    Of large sections fewer times, or the same random share of each once, so that these are `most` cells or little more:
    an epoch of training is as many neighbourhoods whatever the sections' size, and its validation must be, too.
    """

    def __init__(
        self,
        sections: Sequence[Section],
        standard: Standard,
        cells: int,
        batch_size: int,
        device: torch.device,
        seed: int,
        times: int = 1,
        most: int | None = None,
        centred: bool = True,
        estimates: Estimates | None = None,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.drawn: list[tuple[Section, Rows]] = []
        total = sum(len(section.cells) for section in sections)
        share = 1.0 if most is None else min(1.0, most / total)
        for section in [*sections] * (times if most is None else max(1, min(times, most // total))):
            order = rng.permutation(len(section.cells))[: math.ceil(share * len(section.cells))]
            self.drawn += [(section, rows) for rows in np.array_split(order, -(-len(order) // cells)) if len(rows)]
        self.standard, self.batch_size, self.device = standard, batch_size, device
        self.centred, self.estimates = centred, estimates

    def __len__(self) -> int:
        return -(-len(self.drawn) // self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[NeighbourhoodBatch]:  # noqa: ARG002 - of the protocol
        """The same minibatches at every epoch."""
        for first in range(start * self.batch_size, len(self.drawn), self.batch_size):
            drawn = self.drawn[first : first + self.batch_size]
            yield assemble(drawn, self.standard, self.device, None, self.centred, self.estimates)

    def names(self, batch: NeighbourhoodBatch) -> list[str]:
        return batch.names


def assemble(
    drawn: Sequence[tuple[Section, Rows]],
    standard: Standard,
    device: torch.device,
    thinned: tuple[float, np.random.Generator] | None = None,
    centred: bool = True,
    estimates: Estimates | None = None,
) -> NeighbourhoodBatch:
    """The chosen cells (rows) of sections as one minibatch, padded to the largest; other arguments: see above."""
    largest, genes = max(len(rows) for _, rows in drawn), len(standard.mean_G)
    dimensions = drawn[0][0].position_NS.shape[1]
    shape = (len(drawn), largest)
    x_BNG, position_BNS = np.zeros((*shape, genes), np.float32), np.zeros((*shape, dimensions), np.float32)
    mask_BN, cell_type_BN = np.zeros(shape, bool), np.zeros(shape, np.int64)
    near: list[npt.NDArray[np.float32]] = []
    for place, (section, rows) in enumerate(drawn):
        here = place, slice(len(rows))
        x_BNG[here] = expression_of(section.cells, rows, standard, thinned)
        position_NS = section.position_NS[rows]
        position_BNS[here] = position_NS - (position_NS.mean(0, dtype=np.float64) if centred else 0)
        mask_BN[here] = True
        cell_type_BN[here] = section.cells.cell_type[rows]
        if estimates is not None:
            found = estimates(section, rows, x_BNG[here])
            near = near or [np.zeros((*shape, *part.shape[1:]), np.float32) for part in found]
            for all_of, part in zip(near, found, strict=True):
                all_of[here] = part
    section_B = np.array([section.code for section, _ in drawn], np.int64)
    arrays = (x_BNG, position_BNS, mask_BN, cell_type_BN, section_B)
    x, position, mask, cell_type, code = (torch.from_numpy(array).to(device) for array in arrays)
    shown = (torch.from_numpy(array).to(device) for array in near)
    return NeighbourhoodBatch(x, position, mask, cell_type, code, list(map(_name, drawn)), *shown)


def _name(drawn: tuple[Section, Rows]) -> str:
    section, rows = drawn
    first = ", ".join(str(section.cells.names[row]) for row in rows[:3])
    return f"{len(rows)} cells of section {section.name} ({first}, ...)"
