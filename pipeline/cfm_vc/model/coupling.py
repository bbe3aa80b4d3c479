"""Coupling of source and target latents within one group of cells.

N: cells of the group, D: latent dimensions. A group has one perturbation and one context, so pairs never cross either.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

Coupling = Literal["ot", "independent"]
Latents = npt.NDArray[np.float32]

OT_BLOCK = 128  # exact assignment is cubic in the block size; at this size it takes about 10 us per cell


def couple(source_ND: Latents, target_ND: Latents, coupling: Coupling) -> npt.NDArray[np.int64]:
    """Row of the source for each target, (N,): a permutation. Both come in random order.

    `independent` keeps that order. `ot` minimises the sum of squared distances (exact optimal transport between the two
    samples) inside consecutive blocks: minibatch optimal transport, Tong et al., "Improving and generalizing flow-based
    generative models with minibatch optimal transport" (2023).
    """
    rows = np.arange(len(target_ND))
    if coupling == "independent":
        return rows
    for first in range(0, len(rows), OT_BLOCK):
        block = slice(first, first + OT_BLOCK)
        target, source = linear_sum_assignment(cdist(target_ND[block], source_ND[block], "sqeuclidean"))
        rows[first + target] = first + source
    return rows


def draw(pool: npt.NDArray[np.int64], cells: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """`cells` elements of the pool in random order, each used equally often, to within one."""
    whole, rest = divmod(cells, len(pool))
    drawn = np.concatenate([np.tile(pool, whole), random.permutation(pool)[:rest]])
    return random.permutation(drawn)
