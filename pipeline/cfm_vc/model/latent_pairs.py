"""Minibatches for the flow: pairs of a source latent and a target latent.

N: cells, D: dimensions of z_int, P: treatments, C: perturbation codes, S: spatial coordinates.

Sources. `noise`: a sample of N(0, I) for every cell. `control`: a control cell of the same context, i.e. cell type and
batch, or only the cell type if that batch has no such control. A control cell is paired with itself, the optimal
transport of a population to itself. So the base field learns zero velocity on control cells in every context, and
perturbation effects are left to the basis fields.

Pairs are redrawn every epoch and cut into chunks of one group, which stay together in a minibatch: the samples for the
population distance. (Larger samples would be costly, since the distance is quadratic in their size.)
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.cfm_vc.model.coupling import Coupling, Latents, couple, draw
from pipeline.cfm_vc.model.flow_matching import FlowBatch
from pipeline.core.errors import ExpectedError
from pipeline.training.determinism import Purpose, entropy

CHUNK = 32  # cells of one group that stay together in a minibatch

Codes = npt.NDArray[np.int64]
Names = Callable[[list[int]], list[str]]


@dataclass(frozen=True)
class EncodedCells:
    """Latents (posterior means of z_int) of N cells with their covariates."""

    names: Names  # of the cells at these rows: only messages need them, and millions of texts take much memory
    latent_ND: Latents
    perturbation: Codes  # (N,)
    cell_type: Codes  # (N,)
    batch: Codes  # (N,)
    place: Latents | None = None  # (N, S)


@dataclass(frozen=True)
class Pairing:
    """How sources are chosen, and the meaning of the codes."""

    source: Literal["control", "noise"]
    coupling: Coupling
    control: int  # code of the control
    cell_types: list[str]  # for messages


class _Epoch(NamedTuple):
    """A source for every cell, and the order and chunk of the cells."""

    source_ND: Latents
    row_N: Codes
    chunk_N: Codes


class LatentPairs:
    """Minibatches of pairs. With `fixed`, for validation, every epoch is epoch 0."""

    def __init__(
        self,
        cells: EncodedCells,
        controls: EncodedCells,
        pairing: Pairing,
        doses_CP: Tensor,
        batch_size: int,
        device: torch.device,
        seed: int,
        fixed: bool = False,
    ) -> None:
        """`controls`: the cells whose controls sources are drawn from. `doses_CP`: the dose vector of each perturbation
        code, zero for the control.

        ExpectedError if a cell type has no control cells.
        """
        self._cells, self._controls, self._pairing = cells, controls, pairing
        self._batch_size, self._device, self._seed, self._fixed = batch_size, device, seed, fixed
        keys = np.stack([cells.perturbation, cells.cell_type, cells.batch], axis=1)
        self._keys, group = np.unique(keys, axis=0, return_inverse=True)
        self._members = [np.flatnonzero(group == key) for key in range(len(self._keys))]
        self._pools = [self._pool(*key) for key in self._keys] if pairing.source == "control" else []
        self._maker = ThreadPoolExecutor(1)
        self._paired: dict[int, Future[_Epoch]] = {}  # by epoch, finished or in progress
        self._target_ND = torch.from_numpy(cells.latent_ND).to(device)
        self._place_NS = (
            None if cells.place is None else torch.from_numpy(np.require(cells.place, requirements="W")).to(device)
        )
        self._doses_CP = doses_CP.to(device)
        self._perturbation, self._cell_type, self._batch = (
            torch.from_numpy(np.require(codes, requirements="W")).to(device)
            for codes in (cells.perturbation, cells.cell_type, cells.batch)
        )

    def __len__(self) -> int:
        """Minibatches of an epoch; the last may be smaller."""
        return -(-len(self._cells.latent_ND) // self._batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[FlowBatch]:
        """Minibatches `start`, `start` + 1, ... of this epoch; pairs and order depend on seed and epoch alone."""
        number = 0 if self._fixed else number
        pairs = self._paired.pop(number, None) or self._maker.submit(self._pair, number)
        # The next epoch is paired in a background thread during training; a fixed one is paired once.
        self._paired = {0: pairs} if self._fixed else {number + 1: self._maker.submit(self._pair, number + 1)}
        paired = pairs.result()
        on_device = torch.from_numpy(paired.source_ND).to(self._device)
        rows, chunk = torch.from_numpy(paired.row_N), torch.from_numpy(paired.chunk_N).to(self._device)
        for first in range(start * self._batch_size, len(rows), self._batch_size):
            part = slice(first, first + self._batch_size)
            chosen = rows[part]
            index = chosen.to(self._device)
            yield FlowBatch(
                rows=chosen,
                source_BD=on_device[index],
                target_BD=self._target_ND[index],
                p_BP=self._doses_CP[self._perturbation[index]],
                cell_type_B=self._cell_type[index],
                batch_B=self._batch[index],
                group_B=chunk[part],
                place_BS=None if self._place_NS is None else self._place_NS[index],
            )

    def names(self, batch: FlowBatch) -> list[str]:
        """Names of a minibatch's target cells, for messages."""
        return self._cells.names(batch.rows.tolist())

    def _pair(self, number: int) -> "_Epoch":
        random = np.random.default_rng(entropy(self._seed, Purpose.ORDER, number))
        target_ND = self._cells.latent_ND
        source_ND = np.empty_like(target_ND)
        chunks = []
        for group, members in enumerate(self._members):
            rows = random.permutation(members)
            source_ND[rows] = self._sources(group, target_ND[rows], random)
            chunks += np.split(rows, range(CHUNK, len(rows), CHUNK))
        shuffled = [chunks[chunk] for chunk in random.permutation(len(chunks))]
        sizes = [len(chunk) for chunk in shuffled]
        return _Epoch(source_ND, np.concatenate(shuffled), np.repeat(np.arange(len(sizes)), sizes))

    def _sources(self, group: int, target_ND: Latents, random: np.random.Generator) -> Latents:
        """Source latents for these cells of one group, given in random order, (N, D)."""
        pairing = self._pairing
        if pairing.source == "control" and self._keys[group, 0] == pairing.control:
            return target_ND
        if pairing.source == "control":
            source_ND = self._controls.latent_ND[draw(self._pools[group], len(target_ND), random)]
        else:
            source_ND = random.standard_normal(target_ND.shape, np.float32)
        return source_ND[couple(source_ND, target_ND, pairing.coupling)]

    def _pool(self, _perturbation: int, cell_type: int, batch: int) -> Codes:
        controls = self._controls
        of_type = (controls.perturbation == self._pairing.control) & (controls.cell_type == cell_type)
        same_batch = np.flatnonzero(of_type & (controls.batch == batch))
        pool = same_batch if len(same_batch) else np.flatnonzero(of_type)
        if not len(pool):
            raise ExpectedError(
                f"cell type {self._pairing.cell_types[cell_type]!r} has no control cells in the training split for "
                "the flow to start from; in params.yaml set cfm_vc.flow.source: noise, or remove these cells"
            )
        return pool
