"""The rotation or reflection that brings centred points closest to others, for batches on the device.

B: neighbourhoods, N: cells, S: spatial dimensions. `pipeline.alphastomics.metrics.alignment` is the same for one set of
points.
"""

import torch
from torch import Tensor


def turned(from_BNS: Tensor, to_BNS: Tensor, weight_BN: Tensor) -> Tensor:
    """`from` (B, N, S), turned about the origin, reflection allowed, such that Σ weight |R from - to|² is least.

    Kabsch (1976). Computed in float64: a singular value decomposition of S x S matrices costs nothing.
    """
    return from_BNS @ rotation(from_BNS, to_BNS, weight_BN).mT.to(from_BNS.dtype)


def rotation(from_BNS: Tensor, to_BNS: Tensor, weight_BN: Tensor) -> Tensor:
    """The orthogonal matrices R (B, S, S) of `turned`, float64, which turn column vectors."""
    weighted_BNS = to_BNS.double() * weight_BN.double()[..., None]
    left, _, right = torch.linalg.svd(weighted_BNS.mT @ from_BNS.double())
    product: Tensor = left @ right
    return product
