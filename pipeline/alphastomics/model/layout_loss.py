"""How far predicted positions are from true ones, seen through distances only: invariant to rotation, reflection and
translation of either.

B: neighbourhoods, N: cells, M: cells drawn for the loss, S: spatial dimensions.
"""

import torch
from torch import Tensor

from pipeline.nn.share import drawn, totals

_TINY = 1e-4  # of squared distances: the square root has no gradient at 0
_NEVER = -1e9
_FAR = -80.0  # of logarithms: nothing is added by what is so improbable, and exponentials beyond float32 are slow


def squared_distances(position_BNS: Tensor) -> Tensor:
    """(B, N, N), as |a|² + |b|² - 2 a·b: one product in place of a pass over B N² S differences. Its rounding error, a
    millionth of the squared size of the neighbourhood, is far below what a cell's place can be known to."""
    norm_BN = position_BNS.square().sum(-1)
    norms_BNN = norm_BN[:, :, None] + norm_BN[:, None]
    return torch.baddbmm(norms_BNN, position_BNS, position_BNS.mT, alpha=-2).clamp(min=0)


def some_cells(mask_BN: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """At most so many cells of each neighbourhood, at random, real ones first: indices (B, M).

    A mean over pairs of M cells, drawn anew at every step, has the same expectation as one over all pairs (`stress`, of
    neighbourhoods of one size), and memory that does not grow with the neighbourhood. `neighbour_divergence` looks for
    neighbours among the M alone, which are further away the fewer they are: an approximation.
    """
    chance_BN = drawn(lambda shape: torch.rand(shape, generator=generator, device=mask_BN.device), mask_BN.shape)
    return torch.where(mask_BN, chance_BN, -1.0).topk(min(most, mask_BN.shape[1]), dim=1).indices


def stress(predicted_BMM: Tensor, true_BMM: Tensor, mask_BM: Tensor) -> Tensor:
    """Mean over pairs of (d̂ - d)², from squared distances: the raw stress of multidimensional scaling (Kruskal, 1964).

    A network that minimises it without knowing the positions lays cells out at the distances that are to be expected.
    """
    pair_BMM = _pairs(mask_BM)
    error_BMM = ((predicted_BMM + _TINY).sqrt() - (true_BMM + _TINY).sqrt()).square()
    error, pairs = totals((error_BMM * pair_BMM).sum(), pair_BMM.sum())
    return error / pairs.clamp(min=1)


def neighbour_divergence(
    predicted_BMM: Tensor, true_BMM: Tensor, mask_BM: Tensor, true_radius: float = 0.15, radius: float = 0.1
) -> Tensor:
    """Mean over cells of KL(p_i || q_i), from squared distances: who is whose neighbour, where stress sees far pairs.

    p_ij ∝ exp(-d_ij² / (2 true_radius²)), q_ij ∝ 1 / (1 + d̂_ij² / radius²) over the other cells j: stochastic neighbour
    embedding (Hinton and Roweis, 2002) with the kernel of van der Maaten and Hinton (2008). Its minimum over
    distributions is at the expected p_ij, so cells that may be neighbours are put together.
    """
    pair_BMM = _pairs(mask_BM)
    near_BMM = (-true_BMM / (2 * true_radius**2)).masked_fill(~pair_BMM, _NEVER)
    near_BMM = (near_BMM - near_BMM.amax(-1, keepdim=True)).clamp(min=_FAR)
    wanted = near_BMM.log_softmax(-1)
    found = (-torch.log1p(predicted_BMM / radius**2)).masked_fill(~pair_BMM, _NEVER).log_softmax(-1)
    each = (wanted.exp() * (wanted - found)).masked_fill(~pair_BMM, 0)
    divergence, cells = totals(each.sum(), mask_BM.sum())
    return divergence / cells.clamp(min=1)


def _pairs(mask_BM: Tensor) -> Tensor:
    """Pairs of two different real cells, (B, M, M)."""
    both_BMM = mask_BM[:, :, None] & mask_BM[:, None]
    return both_BMM & ~torch.eye(mask_BM.shape[1], dtype=torch.bool, device=mask_BM.device)
