"""Differentiable distances between groups of samples.

B: samples, D: dimensions.
"""

import torch
from torch import Tensor


def grouped_energy_distance(x_BD: Tensor, y_BD: Tensor, group_B: Tensor) -> Tensor:
    """Energy distance between x and y inside each group, averaged over the groups with two or more samples; a scalar.

    2 E|x_i−y_j| − E|x_i−x_j| − E|y_i−y_j| with plain (not squared) Euclidean norms. All three means are over i ≠ j (the
    U-statistic): x_i and y_i, both of group_i, may depend on each other, as an estimate and its target do. Then the
    expectation is zero when the two distributions agree, the gradient is unbiased, x = y gives exactly zero, and the
    value may be slightly negative. Without a group of two: zero. Székely and Rizzo, "Energy statistics" (2013).
    """
    _, member_B, size = torch.unique(group_B, return_inverse=True, return_counts=True)
    pairs = (size * (size - 1)).clamp(min=1).to(x_BD.dtype)
    weight_BB = (group_B[:, None] == group_B[None, :]) / pairs[member_B][:, None]
    weight_BB.fill_diagonal_(0.0)
    distance_BB = 2 * _distances(x_BD, y_BD) - _distances(x_BD, x_BD) - _distances(y_BD, y_BD)
    total: Tensor = (weight_BB * distance_BB).sum() / (size >= 2).sum().clamp(min=1)
    return total


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
    """Euclidean distances, (B, B), from differences: expanding the square loses small distances, and their gradient."""
    return torch.cdist(x_BD, y_BD, compute_mode="donot_use_mm_for_euclid_dist")
