"""A whole split of counts on the training device (CSR), and sparse minibatches indexed from it.

B: cells, K: non-zero counts of a minibatch. A million cells of 200 expressed genes take about two gigabytes.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pipeline.cfm_vc.data.count_batch import CountBatch
from pipeline.data.cells import Cells


class ResidentCounts:
    """Minibatches of cells that fit on the device. With `seed` None they come in the order of the store."""

    def __init__(self, cells: Cells, batch_size: int, device: torch.device, seed: int | None = None) -> None:
        self.cell_names = cells.names
        self.genes = cells.genes
        self.batch_size = batch_size
        self.device = device
        self.seed = seed
        self._indptr = torch.from_numpy(cells.indptr).to(device)
        self._indices = torch.from_numpy(np.require(cells.indices, requirements="W")).to(device)
        self._counts = torch.from_numpy(np.require(cells.counts, requirements="W")).to(device)
        self._library = torch.from_numpy(cells.library_size.astype(np.float32)).to(device)
        self._cell_type, self._batch, self._perturbation = (
            torch.from_numpy(np.require(codes, requirements="W")).to(device)
            for codes in (cells.cell_type, cells.batch, cells.perturbation)
        )

    def __len__(self) -> int:
        """Minibatches of an epoch; the last may be smaller."""
        return -(-len(self.cell_names) // self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[CountBatch]:
        """Minibatches `start`, `start` + 1, ... of this epoch: the order depends on seed and epoch number alone."""
        cells = len(self.cell_names)
        if self.seed is None:
            order = torch.arange(cells)
        else:
            order = torch.from_numpy(np.random.default_rng([self.seed, number]).permutation(cells))
        for first in range(start * self.batch_size, cells, self.batch_size):
            yield self.take(order[first : first + self.batch_size])

    def names(self, batch: CountBatch) -> list[str]:
        """Names of a minibatch's cells, for messages."""
        return [str(self.cell_names[row]) for row in batch.rows.tolist()]

    def take(self, rows: Tensor) -> CountBatch:
        """The cells at `rows`, (B,) int64 on the CPU, in that order."""
        on_device = rows.to(self.device)
        start_B = self._indptr[on_device]
        length_B = self._indptr[on_device + 1] - start_B
        end_B = length_B.cumsum(0)
        cell_K = torch.repeat_interleave(length_B)
        entry_K = (start_B - (end_B - length_B)).index_select(0, cell_K)
        entry_K += torch.arange(len(cell_K), device=self.device)
        return CountBatch(
            rows=rows,
            x_K=self._counts.index_select(0, entry_K).to(torch.float32),
            cell_K=cell_K,
            gene_K=self._indices.index_select(0, entry_K).to(torch.int64),
            library_B=self._library[on_device],
            cell_type_B=self._cell_type[on_device],
            batch_B=self._batch[on_device],
            perturbation_B=self._perturbation[on_device],
        )
