"""Principal components with fixed signs, so that the same data give the same picture."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Components:
    """A centre (D,) and K orthonormal axes (K, D)."""

    centre_D: Array
    axes_KD: Array

    def project(self, x_ND: npt.NDArray[np.floating]) -> Array:
        """Coordinates (N, K) of the rows of `x_ND`, in the units of `x_ND`."""
        return (x_ND.astype(np.float64) - self.centre_D) @ self.axes_KD.T


def principal_components(x_ND: npt.NDArray[np.floating], count: int) -> Components:
    """The first `count` principal axes of the rows (fewer where N − 1 or D is smaller), by SVD of the centred data.

    Sign convention: the entry of largest magnitude (the first of equals) is positive.
    """
    centre_D = x_ND.mean(axis=0, dtype=np.float64)
    axes_KD = np.linalg.svd(x_ND - centre_D, full_matrices=False)[2]
    axes_KD = axes_KD[: min(count, max(len(x_ND) - 1, 1), x_ND.shape[1])]
    largest = np.abs(axes_KD).argmax(axis=1)
    signs_K = np.where(axes_KD[np.arange(len(axes_KD)), largest] < 0, -1.0, 1.0)
    return Components(centre_D, axes_KD * signs_K[:, None])
