"""Differentiable distances between groups of samples.

B: samples, D: dimensions, R: groups of two or more, M: size of the largest.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipeline.nn.mixed_precision import widened

_FEW = 128  # up to this many samples, the full matrix costs less than stacking


def grouped_energy_distance(x_BD: Tensor, y_BD: Tensor, group_B: Tensor) -> Tensor:
    """Energy distance between x and y inside each group, averaged over the groups with two or more samples; a scalar.

    2 E|x_i−y_j| − E|x_i−x_j| − E|y_i−y_j| with plain (not squared) Euclidean norms. All three means are over i ≠ j (the
    U-statistic): x_i and y_i, both of group_i, may depend on each other, as an estimate and its target do. The
    expectation is zero when the two distributions agree, the gradient is unbiased, x = y gives exactly zero, and values
    can be slightly negative. Zero without a group of at least two. Székely and Rizzo, "Energy statistics" (2013).
    Once differentiable.
    """
    x_BD, y_BD = widened(x_BD), widened(y_BD)
    row_RM, together_RMM = _stacked(group_B)
    size_RM = together_RMM.sum(dim=2)
    weight_RMM = together_RMM / (size_RM * (size_RM - 1)).clamp(min=1)[:, :, None]
    weight_RMM.diagonal(dim1=1, dim2=2).zero_()
    groups = ((size_RM >= 2) / size_RM.clamp(min=1)).sum()
    x_RMD, y_RMD, weight_RMM = _gather(x_BD, row_RM), _gather(y_BD, row_RM), weight_RMM.to(x_BD.dtype)
    across, of_x, of_y = (
        _weighted_distances(u_RMD, v_RMD, weight_RMM)
        for u_RMD, v_RMD in ((x_RMD, y_RMD), (x_RMD, x_RMD), (y_RMD, y_RMD))
    )
    return (2 * across - of_x - of_y) / groups.clamp(min=1)


def energy_distance_between(z_BD: Tensor, group_B: Tensor, part_B: Tensor) -> Tensor:
    """Energy distance between the parts of one group, averaged over all pairs of parts inside a group; a scalar.

    group_B, part_B: int64 codes >= 0. For parts a and b of a group, 2 E|z_a−z_b| − E|z_a−z_a'| − E|z_b−z_b'|, without
    pairs of a sample with itself (the U-statistic, as above): zero in expectation if the parts of a group have the same
    distribution. Parts with a single sample in the batch are left out; zero without a pair of parts.
    """
    z_BD = widened(z_BD)
    row_RM, together_RMM = _stacked(group_B)
    part_RM = part_B[row_RM]
    same_RMM = together_RMM & (part_RM[:, :, None] == part_RM[:, None, :])
    n_RM = same_RMM.sum(dim=2).clamp(min=1).to(z_BD.dtype)
    # Each sample of a part of n counts 1/n: these sums count the parts with at least two samples per group.
    share_RM = (n_RM >= 2) / n_RM
    parts_RM = (together_RMM * share_RM[:, None, :]).sum(dim=2)
    within_RM = share_RM * (parts_RM - 1) / (n_RM - 1).clamp(min=1)
    across_RMM = together_RMM * share_RM[:, :, None] * share_RM[:, None, :]
    weight_RMM = torch.where(same_RMM, -within_RM[:, :, None], across_RMM)
    pairs = (share_RM * (parts_RM - 1)).sum() / 2
    z_RMD = _gather(z_BD, row_RM)
    return _weighted_distances(z_RMD, z_RMD, weight_RMM) / pairs.clamp(min=1)


def _stacked(group_B: Tensor) -> tuple[Tensor, Tensor]:
    """Samples stacked by group: their indices, (R, M) int64, and which pairs share a group, (R, M, M) bool.

    Pairs across groups would be most of a (B, B) matrix and are not needed. Groups of one are left out. Padding repeats
    a sample and belongs to no group. If stacking saves nothing (few samples, or one group so large that padding the
    others costs more than the matrix), all samples are in one row.
    """
    if len(group_B) <= _FEW:
        return _in_one_row(group_B)
    order_B = torch.argsort(group_B, stable=True)
    size_R = torch.unique_consecutive(group_B[order_B], return_counts=True)[1]
    first_R = size_R.cumsum(0) - size_R
    first_R, size_R = first_R[size_R >= 2], size_R[size_R >= 2]
    largest = int(size_R.max()) if len(size_R) else 0
    if len(size_R) * largest**2 > len(group_B) ** 2:
        return _in_one_row(group_B)
    place_M = torch.arange(largest, device=group_B.device)
    filled_RM = place_M < size_R[:, None]
    row_RM = order_B[(first_R[:, None] + place_M).clamp(max=len(group_B) - 1)]
    return row_RM, filled_RM[:, :, None] & filled_RM[:, None, :]


def _in_one_row(group_B: Tensor) -> tuple[Tensor, Tensor]:
    return torch.arange(len(group_B), device=group_B.device)[None], (group_B[:, None] == group_B)[None]


def _gather(z_BD: Tensor, row_RM: Tensor) -> Tensor:
    return z_BD.index_select(0, row_RM.flatten()).view(*row_RM.shape, z_BD.shape[1])


def _weighted_distances(x_RMD: Tensor, y_RMD: Tensor, weight_RMM: Tensor) -> Tensor:
    total: Tensor = _WeightedDistances.apply(x_RMD, y_RMD, weight_RMM)  # type: ignore[no-untyped-call]
    return total


class _WeightedDistances(torch.autograd.Function):
    """Σ_rij w_rij |x_ri−y_rj|. Autograd would revisit every difference; by hand the gradient is a matrix product:
    Σ_j w_ij (x_i−y_j) / |x_i−y_j| = x_i Σ_j u_ij − Σ_j u_ij y_j with u = w / |x−y|.
    """

    @staticmethod
    def forward(ctx: Any, x_RMD: Tensor, y_RMD: Tensor, weight_RMM: Tensor) -> Tensor:
        # From differences: expanding the square would lose precision for small distances.
        distance_RMM = torch.cdist(x_RMD, y_RMD, compute_mode="donot_use_mm_for_euclid_dist")
        ctx.save_for_backward(x_RMD, y_RMD, weight_RMM, distance_RMM)
        return (weight_RMM * distance_RMM).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x_RMD, y_RMD, weight_RMM, distance_RMM = ctx.saved_tensors
        # If two samples coincide, the subgradient is zero.
        u_RMM = (weight_RMM / distance_RMM).masked_fill_(distance_RMM == 0, 0.0).mul_(grad)
        by_x_RMD = u_RMM.sum(2)[:, :, None] * x_RMD - u_RMM @ y_RMD if ctx.needs_input_grad[0] else None
        by_y_RMD = u_RMM.sum(1)[:, :, None] * y_RMD - u_RMM.mT @ x_RMD if ctx.needs_input_grad[1] else None
        return by_x_RMD, by_y_RMD, None
