"""Minibatches of a split that stays on the disk, shuffled with the memory of a few pools of cells.

An epoch takes the row groups of the split in random order, joins them to pools of about 32,768 cells, and permutes the
cells of each pool. Minibatches are cut from the sequence of pools, so one may hold the last cells of a pool and the
first of the next, and only the last of an epoch may be smaller. The cells of a row group come from all over the input
already (`pipeline.data.shuffle`), so a minibatch is well mixed although only a part of the store is ever in memory.

Every pool has a generator of its own: an epoch that is entered in the middle reads nothing of the pools before. The
next pool is read and permuted by a thread while the cells of one are in use.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.cfm_vc.data.count_batch import CountBatch, joined
from pipeline.data.cells import Cells, concatenate
from pipeline.data.prefetch import prefetched
from pipeline.data.store import Split, Store

CELLS_PER_POOL = 32_768  # at least, but for the last of an epoch; another size is another order


class StreamedCounts:
    """Minibatches read from the store. With `seed` None they come in the order of the store."""

    def __init__(
        self,
        store: Store,
        split: Split,
        batch_size: int,
        device: torch.device,
        seed: int | None = None,
        cells_per_pool: int = CELLS_PER_POOL,
    ) -> None:
        """ExpectedError where a shard is missing or damaged; damage inside shows when it is read."""
        self._store, self._split = store, split
        self._batch_size, self._device, self._seed, self._cells_per_pool = batch_size, device, seed, cells_per_pool
        self._row_groups = store.row_groups(split)
        sizes = np.array([row_group.cells for row_group in self._row_groups], np.int64)
        self._sizes, self._starts = sizes, np.cumsum(sizes) - sizes

    def __len__(self) -> int:
        """Minibatches of an epoch; the last may be smaller."""
        return -(-int(self._sizes.sum()) // self._batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[CountBatch]:
        """Minibatches `start`, `start` + 1, ... of this epoch: the order depends on the store, the seed, the size of a
        pool and the number of the epoch alone."""
        parts: list[CountBatch] = []  # of the next minibatch: the last cells of the pools before
        missing = self._batch_size
        for pool in self._read(number, start * self._batch_size):
            first = 0
            while first < len(pool):
                parts.append(pool.cells(first, min(missing, len(pool) - first)))
                first += len(parts[-1])
                missing -= len(parts[-1])
                if not missing:
                    yield joined(parts)
                    parts, missing = [], self._batch_size
        if parts:
            yield joined(parts)

    def names(self, batch: CountBatch) -> list[str]:
        """Names of a minibatch's cells, for messages: read from the store."""
        return self._store.names(self._split, batch.rows.tolist())

    def _read(self, number: int, skipped: int) -> Iterator["_Pool"]:
        """The pools of an epoch without its first `skipped` cells."""
        wanted = []
        for place, pool in enumerate(self._pools(number)):
            cells = int(self._sizes[pool].sum())
            if skipped < cells:
                wanted.append((place, pool, max(0, skipped)))
            skipped -= cells
        return prefetched((self._pool(number, *each) for each in wanted), ahead=1)

    def _pools(self, number: int) -> list[npt.NDArray[np.int64]]:
        """Row groups of each pool of an epoch."""
        count = len(self._sizes)
        order = np.arange(count) if self._seed is None else self._random(number, 0).permutation(count)
        # A pool ends with the row group that fills it.
        before = np.cumsum(self._sizes[order]) - self._sizes[order]
        pools, first = [], 0
        for last in range(count):
            if last + 1 == count or before[last + 1] - before[first] >= self._cells_per_pool:
                pools.append(order[first : last + 1])
                first = last + 1
        return pools

    def _pool(self, number: int, place: int, row_groups: npt.NDArray[np.int64], skipped: int) -> "_Pool":
        cells = concatenate([self._store.read_row_group(self._row_groups[group], named=False) for group in row_groups])
        rows = np.concatenate([self._starts[group] + np.arange(self._sizes[group]) for group in row_groups])
        order = np.arange(len(cells))
        if self._seed is not None:
            order = self._random(number, 1 + place).permutation(order)
        return _Pool.of(cells, order[skipped:], rows, self._device)

    def _random(self, number: int, use: int) -> np.random.Generator:
        """use: 0 for the order of the row groups, 1 and more for that within a pool."""
        assert self._seed is not None
        return np.random.default_rng([self._seed, number, use])


@dataclass(frozen=True)
class _Pool:
    """Cells in the order of the epoch, on the training device but for `rows` and `indptr`."""

    rows: Tensor  # indices in the split
    indptr: npt.NDArray[np.int64]
    indices: Tensor
    counts: Tensor
    library: Tensor
    cell_type: Tensor
    batch: Tensor
    perturbation: Tensor

    @classmethod
    def of(
        cls, cells: Cells, order: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], device: torch.device
    ) -> "_Pool":
        """These of the cells, in this order; rows: of all of them in the split."""
        from scipy.sparse import csr_matrix  # here, since a split in memory does without it

        # A loop over rows in C++: four times faster than indexing by entry, and without an index as large as the pool.
        shape = (len(cells), cells.genes)
        chosen = csr_matrix((cells.counts, cells.indices, cells.indptr), shape=shape)[order]

        def placed(values: npt.NDArray[np.generic]) -> Tensor:
            return torch.from_numpy(np.require(values, requirements="W")).to(device)

        return cls(
            torch.from_numpy(rows[order]),
            chosen.indptr.astype(np.int64),
            placed(chosen.indices),
            placed(chosen.data),
            placed(cells.library_size[order].astype(np.float32)),
            placed(cells.cell_type[order]),
            placed(cells.batch[order]),
            placed(cells.perturbation[order]),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def cells(self, first: int, count: int) -> CountBatch:
        """So many of them from `first` on."""
        some = slice(first, first + count)
        bounds = self.indptr[first : first + count + 1]
        entries = slice(int(bounds[0]), int(bounds[-1]))
        length_B = torch.from_numpy(np.diff(bounds)).to(self.counts.device)
        return CountBatch(
            rows=self.rows[some],
            x_K=self.counts[entries].to(torch.float32),
            cell_K=torch.repeat_interleave(length_B, output_size=entries.stop - entries.start),
            gene_K=self.indices[entries].to(torch.int64),
            library_B=self.library[some],
            cell_type_B=self.cell_type[some],
            batch_B=self.batch[some],
            perturbation_B=self.perturbation[some],
        )
