"""The consensus placement of several draws of the same cells, and the spread of the draws.

D: draws, N: cells, S: spatial dimensions.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.alphastomics.model.rigid import best_rotation

Array = npt.NDArray[np.float64]

_ROUNDS = 100
_SETTLED = 1e-10  # relative change of the consensus


class Consensus(NamedTuple):
    """In the unit of the draws."""

    place_NS: Array  # mean of the draws; centred where they were free
    spread_N: Array  # root mean square distance of the draws from it; 0 of a single draw, which tells nothing
    draws_DNS: Array  # where they were free, centred and turned to agree


def consensus(draws_DNS: npt.NDArray[np.floating], free: bool) -> Consensus:
    """The mean placement of draws; where `free`, up to translation, rotation and reflection.

    free: a network without a frame draws the tissue in any orientation, so draws are first aligned to their mean:
    generalised Procrustes analysis (Gower, Psychometrika 40, 33, 1975) without scaling, starting from the draw that
    agrees best with the others, whose orientation the result has. A mean of draws that disagree is smaller than any of
    them: |draw|² = |mean|² + spread² on average over draws.

    ValueError: no draw, or a coordinate is not finite.
    """
    if draws_DNS.ndim != 3 or not draws_DNS.size or not np.isfinite(draws_DNS).all():
        raise ValueError(f"finite draws (D, N, S) are needed, got shape {draws_DNS.shape}")
    posed_DNS: Array = draws_DNS.astype(np.float64)
    if free:
        posed_DNS = posed_DNS - draws_DNS.mean(axis=1, keepdims=True, dtype=np.float64)
    place_NS: Array = _best_agreed(posed_DNS) if free else posed_DNS.mean(axis=0)
    for _ in range(_ROUNDS if free else 0):
        posed_DNS = turned_onto(posed_DNS, place_NS)
        before_NS, place_NS = place_NS, posed_DNS.mean(axis=0)
        if np.abs(place_NS - before_NS).max() <= _SETTLED * np.abs(place_NS).max():
            break
    spread_N = np.sqrt(((posed_DNS - place_NS) ** 2).sum(axis=2).mean(axis=0))
    return Consensus(place_NS, spread_N, posed_DNS)


def turned_onto(draws_DNS: Array, place_NS: Array) -> Array:
    """Each draw turned, and reflected where that is closer, to lie as near as it can to the placement; all centred."""
    rotation_DSS = best_rotation(np.einsum("ns,dnt->dst", place_NS, draws_DNS, optimize=True))
    turned_DNS: Array = draws_DNS @ rotation_DSS.transpose(0, 2, 1)
    return turned_DNS


def _best_agreed(draws_DNS: Array) -> Array:
    """The draw that is closest to the others, each turned onto it: their distances need singular values alone."""
    products_DDSS = np.einsum("ans,bnt->abst", draws_DNS, draws_DNS, optimize=True)
    overlap_DD = np.linalg.svd(products_DDSS, compute_uv=False).sum(axis=-1)
    size_D = (draws_DNS**2).sum(axis=(1, 2))
    distance_DD = size_D[:, None] + size_D - 2 * overlap_DD
    best: Array = draws_DNS[int(distance_DD.sum(axis=1).argmin())]
    return best
