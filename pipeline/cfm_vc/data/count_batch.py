"""Sparse minibatches of counts: what the VAE trains on, wherever the cells come from.

B: cells, K: non-zero counts of a minibatch.
"""

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class CountBatch:
    """Counts and covariates of B cells; everything but `rows` is on the training device."""

    rows: Tensor  # (B,) int64, on the CPU: indices of these cells in the split
    x_K: Tensor  # non-zero counts, float32
    cell_K: Tensor  # int64: index of their cells, 0 to B − 1, ascending
    gene_K: Tensor  # int64: index of their genes
    library_B: Tensor  # library sizes, float32
    cell_type_B: Tensor  # int64 codes
    batch_B: Tensor  # int64 codes
    perturbation_B: Tensor  # int64 codes

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, first: int, count: int) -> Self:
        """The minibatch of these of its cells."""
        cells = slice(first, first + count)
        begin, end = torch.searchsorted(self.cell_K, torch.tensor([first, first + count], device=self.cell_K.device))
        return type(self)(
            rows=self.rows[cells],
            x_K=self.x_K[begin:end],
            cell_K=self.cell_K[begin:end] - first,
            gene_K=self.gene_K[begin:end],
            library_B=self.library_B[cells],
            cell_type_B=self.cell_type_B[cells],
            batch_B=self.batch_B[cells],
            perturbation_B=self.perturbation_B[cells],
        )


def joined(parts: list[CountBatch]) -> CountBatch:
    """The cells of one or more minibatches, in order."""
    if len(parts) == 1:
        return parts[0]
    firsts = accumulate((len(part) for part in parts), initial=0)
    parts = [replace(part, cell_K=part.cell_K + first) for part, first in zip(parts, firsts, strict=False)]
    return CountBatch(**{name: torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0])})
