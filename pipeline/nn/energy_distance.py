"""Differentiable distances between groups of samples.

B: samples, D: dimensions, R: groups of two or more, M: size of the largest.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def grouped_energy_distance(x_BD: Tensor, y_BD: Tensor, group_B: Tensor) -> Tensor:
    """Energy distance between x and y inside each group, averaged over the groups with two or more samples; a scalar.

    2 E|x_i−y_j| − E|x_i−x_j| − E|y_i−y_j| with plain (not squared) Euclidean norms. All three means are over i ≠ j (the
    U-statistic): x_i and y_i, both of group_i, may depend on each other, as an estimate and its target do. Then the
    expectation is zero when the two distributions agree, the gradient is unbiased, x = y gives exactly zero, and the
    value may be slightly negative. Without a group of two: zero. Székely and Rizzo, "Energy statistics" (2013).
    Differentiable, once, in x alone.
    """
    order_B = torch.argsort(group_B, stable=True)
    size_R = torch.unique_consecutive(group_B[order_B], return_counts=True)[1]
    first_R = size_R.cumsum(0) - size_R
    usable_R = size_R >= 2
    if not bool(usable_R.any()):
        return 0.0 * x_BD.sum()
    size_R, first_R = size_R[usable_R], first_R[usable_R]
    # Groups one above the other, filled up to the largest: what lies between groups would be most of a (B, B) matrix.
    slot_M = torch.arange(int(size_R.max()), device=x_BD.device)
    filled_RM = slot_M < size_R[:, None]
    row_RM = order_B[(first_R[:, None] + slot_M).clamp(max=len(group_B) - 1)]
    weight_RMM = (filled_RM[:, :, None] & filled_RM[:, None, :]) / (size_R * (size_R - 1))[:, None, None]
    weight_RMM.diagonal(dim1=1, dim2=2).zero_()
    x_RMD, y_RMD = (z_BD.index_select(0, row_RM.flatten()).view(*row_RM.shape, -1) for z_BD in (x_BD, y_BD))
    total: Tensor = _WeightedEnergy.apply(x_RMD, y_RMD, weight_RMM.to(x_BD.dtype))  # type: ignore[no-untyped-call]
    return total / len(size_R)


class _WeightedEnergy(torch.autograd.Function):
    """Σ_rij w_rij (2 |x_ri−y_rj| − |x_ri−x_rj| − |y_ri−y_rj|), each w_r symmetric.

    Autograd would visit every difference again. By hand the gradient is two products of matrices:
    Σ_j w_ij (x_i−y_j) / |x_i−y_j| = x_i Σ_j u_ij − Σ_j u_ij y_j with u = w / |x−y|.
    """

    @staticmethod
    def forward(ctx: Any, x_RMD: Tensor, y_RMD: Tensor, weight_RMM: Tensor) -> Tensor:
        across_RMM, within_RMM = _distances(x_RMD, y_RMD), _distances(x_RMD, x_RMD)
        ctx.save_for_backward(x_RMD, y_RMD, weight_RMM, across_RMM, within_RMM)
        total: Tensor = (weight_RMM * (2 * across_RMM - within_RMM - _distances(y_RMD, y_RMD))).sum()
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        x_RMD, y_RMD, weight_RMM, across_RMM, within_RMM = ctx.saved_tensors
        # Where two samples coincide, the difference is zero and so is its subgradient.
        across_RMM = (weight_RMM / across_RMM).masked_fill_(across_RMM == 0, 0.0)
        within_RMM = (weight_RMM / within_RMM).masked_fill_(within_RMM == 0, 0.0)
        pull_RM1 = (across_RMM - within_RMM).sum(2, keepdim=True)
        return 2 * grad * (pull_RM1 * x_RMD - across_RMM @ y_RMD + within_RMM @ x_RMD), None, None


def energy_distance_between(z_BD: Tensor, group_B: Tensor, part_B: Tensor) -> Tensor:
    """Energy distance between the parts of one group, averaged over all pairs of parts inside a group; a scalar.

    group_B, part_B: int64 codes >= 0. For parts a and b of a group, 2 E|z_a−z_b| − E|z_a−z_a'| − E|z_b−z_b'|, without
    the pairs of a sample with itself (the U-statistic, as above): zero in expectation where the parts of a group have
    one distribution. Parts with one sample in the batch are left out; without a pair of parts: zero.
    """
    key_B = group_B * (part_B.max() + 1) + part_B
    _, unit_B, size_U = torch.unique(key_B, return_inverse=True, return_counts=True)
    usable_B = size_U[unit_B] >= 2
    same_group_BB = (group_B[:, None] == group_B[None, :]) & usable_B[:, None] & usable_B[None, :]
    same_unit_BB = same_group_BB & (unit_B[:, None] == unit_B[None, :])
    n_B = size_U[unit_B].to(z_BD.dtype)
    # Every sample of a part stands for 1/n of it, so this row sum counts the usable parts of the sample's group.
    parts_B = (same_group_BB / n_B[None, :]).sum(dim=1)
    within_BB = same_unit_BB * ((parts_B - 1) / (n_B * (n_B - 1).clamp(min=1)))[:, None]
    weight_BB = (same_group_BB & ~same_unit_BB) / (n_B[:, None] * n_B[None, :]) - within_BB
    pairs = ((parts_B - 1) * usable_B / n_B).sum() / 2
    total: Tensor = (weight_BB * _distances(z_BD, z_BD)).sum() / pairs.clamp(min=1)
    return total


def _distances(x_BD: Tensor, y_BD: Tensor) -> Tensor:
    """Euclidean distances, (..., B, B), from differences: expanding the square loses the small ones."""
    return torch.cdist(x_BD, y_BD, compute_mode="donot_use_mm_for_euclid_dist")
