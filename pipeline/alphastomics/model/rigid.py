"""The rotation or reflection that brings centred points closest to others.

B: neighbourhoods, N: cells, S: spatial dimensions.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Matrices = TypeVar("Matrices", Tensor, npt.NDArray[np.float64])


def best_rotation(product: Matrices, reflection: bool = True) -> Matrices:
    """The orthogonal matrices R (..., S, S) that minimise Σ_n |R x_n − y_n|², from the sums Σ_n y_n x_nᵀ (..., S, S).

    reflection: whether R may be any orthogonal matrix, or has to be a rotation (det R = 1).

    R = U Vᵀ of the singular value decomposition: Kabsch (1976, Acta Cryst. A32, 922), Schönemann (1966, Psychometrika
    31, 1); with the sign that makes it a rotation, Umeyama (1991, IEEE Trans. Pattern Anal. Mach. Intell. 13, 376).
    """
    linalg = torch.linalg if isinstance(product, Tensor) else np.linalg
    left, _, right = linalg.svd(product)
    if not reflection:
        reflected = linalg.det(left @ right) < 0
        left[reflected, :, -1] *= -1  # the direction of the smallest singular value, which costs least
    best: Matrices = left @ right
    return best


def turned(from_BNS: Tensor, to_BNS: Tensor, weight_BN: Tensor) -> Tensor:
    """`from` (B, N, S), turned about the origin, reflection allowed, such that Σ weight |R from - to|² is least.

    Computed in float64: a singular value decomposition of S x S matrices costs nothing.
    """
    return from_BNS @ rotation(from_BNS, to_BNS, weight_BN).mT.to(from_BNS.dtype)


def rotation(from_BNS: Tensor, to_BNS: Tensor, weight_BN: Tensor) -> Tensor:
    """The orthogonal matrices R (B, S, S) of `turned`, float64, which turn column vectors."""
    weighted_BNS = to_BNS.double() * weight_BN.double()[..., None]
    return best_rotation(weighted_BNS.mT @ from_BNS.double())
