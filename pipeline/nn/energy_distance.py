"""A differentiable distance between groups of samples.

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


def _distances(x_BD: Tensor, y_BD: Tensor) -> Tensor:
    """Euclidean distances, (B, B), from differences: expanding the square loses small distances, and their gradient."""
    return torch.cdist(x_BD, y_BD, compute_mode="donot_use_mm_for_euclid_dist")
