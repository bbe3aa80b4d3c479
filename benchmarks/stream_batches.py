"""Shuffled minibatches from a store that does not fit in memory.

Row groups are visited in random order, a pool of several is in memory at a time, and minibatches are drawn from the
pool at random. The cells of a row group come from all over the input already (pipeline.data.shuffle), so a minibatch is
well mixed although only a part of the store is ever in memory. Axes: B cells, G genes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.data.cells import Cells, Rows, concatenate
from pipeline.data.prefetch import prefetched
from pipeline.data.store import Split, Store

ROW_GROUPS_PER_POOL = 8


@dataclass(frozen=True)
class Batch:
    """A minibatch; the covariates are codes into the store's categories."""

    counts_BG: torch.Tensor  # float32
    perturbation_B: torch.Tensor  # int64, like the rest
    cell_type_B: torch.Tensor
    batch_B: torch.Tensor
    library_size_B: torch.Tensor

    def __len__(self) -> int:
        return len(self.counts_BG)


def stream(
    store: Store,
    split: Split,
    batch_size: int,
    seed: int,
    epoch: int,
    row_groups_per_pool: int = ROW_GROUPS_PER_POOL,
) -> Iterator[Batch]:
    """All cells of a split once, shuffled, in minibatches of `batch_size`; only the last one may be smaller.

    The order depends on the store, seed, epoch and size of the pool alone. Memory is that of two pools: one in use and
    one being read.
    """
    rng = np.random.default_rng([seed, epoch])
    row_groups = store.row_groups(split)
    # The order of row groups is drawn before the reading thread starts: the two never share the generator.
    order = rng.permutation(len(row_groups))
    pools = (
        concatenate([store.read_row_group(row_groups[number]) for number in order[start : start + row_groups_per_pool]])
        for start in range(0, len(order), row_groups_per_pool)
    )
    rest: list[Cells] = []  # too few for a minibatch; they join the next pool
    for pool in prefetched(pools, ahead=1):
        cells = concatenate([*rest, pool])
        shuffled = rng.permutation(len(cells))
        whole = len(cells) // batch_size * batch_size
        for start in range(0, whole, batch_size):
            yield _batch(cells, shuffled[start : start + batch_size])
        rest = [cells.select(shuffled[whole:])]
    for cells in rest:
        if len(cells):
            yield _batch(cells, slice(None))


def _batch(cells: Cells, rows: Rows) -> Batch:
    return Batch(
        counts_BG=torch.from_numpy(cells.dense(rows)),
        perturbation_B=torch.from_numpy(cells.perturbation[rows]),
        cell_type_B=torch.from_numpy(cells.cell_type[rows]),
        batch_B=torch.from_numpy(cells.batch[rows]),
        library_size_B=torch.from_numpy(cells.library_size[rows]),
    )
