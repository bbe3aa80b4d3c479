"""Rigid alignment of one set of points to another: predicted positions to true ones.

N: points, S: dimensions (2 or 3, or any other number).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.alphastomics.model.rigid import best_rotation

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Alignment:
    """The map x -> R x + translation, where R is orthogonal."""

    rotation_SS: Array  # R, which turns column vectors
    translation_S: Array

    def apply(self, place_NS: npt.NDArray[np.floating]) -> Array:
        """The aligned points (N, S), in the unit of the points aligned to."""
        moved_NS: Array = np.asarray(place_NS, np.float64) @ self.rotation_SS.T + self.translation_S
        return moved_NS


def kabsch(from_NS: npt.NDArray[np.floating], to_NS: npt.NDArray[np.floating], *, reflection: bool) -> Alignment:
    """The least-squares alignment of `from_NS` to `to_NS`: it minimises Σ_n |R from_n + translation − to_n|².

    reflection: whether R may be any orthogonal matrix, or has to be a rotation (det R = 1); no default, since scores
    after alignment depend on it. For points that all coincide R is arbitrary.

    Source: `best_rotation`. ValueError where the shapes differ, there are no points, or
    a coordinate is not finite.
    """
    from_NS, to_NS = np.asarray(from_NS, np.float64), np.asarray(to_NS, np.float64)
    if from_NS.shape != to_NS.shape or from_NS.ndim != 2 or not from_NS.size:
        raise ValueError(f"two equal sets of points (N, S) are needed, got shapes {from_NS.shape} and {to_NS.shape}")
    if not (np.isfinite(from_NS).all() and np.isfinite(to_NS).all()):
        raise ValueError("a coordinate is not finite")
    from_mean_S, to_mean_S = from_NS.mean(axis=0), to_NS.mean(axis=0)
    rotation_SS = best_rotation((to_NS - to_mean_S).T @ (from_NS - from_mean_S), reflection)
    return Alignment(rotation_SS, to_mean_S - rotation_SS @ from_mean_S)
