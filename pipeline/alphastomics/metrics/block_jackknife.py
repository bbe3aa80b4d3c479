"""How far a score would move with other cells of the same section: the jackknife over blocks of adjacent cells.

Neighbouring cells are alike, so a bootstrap that draws cells one by one would make intervals too narrow. Here a section
is cut into blocks of equally many adjacent cells, and the score computed again without each of them in turn. K: blocks.
Sources: Künsch (1989, Ann. Statist. 17, 1217), for dependent data; Shao and Tu (1995), The Jackknife and Bootstrap,
for blocks of more than one observation.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from pipeline.metrics.mean_interval import LEVEL

Array = npt.NDArray[np.float64]

BLOCKS = 10


def spatial_blocks(place_NS: npt.NDArray[np.floating], blocks: int = BLOCKS) -> npt.NDArray[np.int64]:
    """The block of each cell, (N,): 0 to blocks − 1, of equally many cells, up to one.

    A part is cut in two across its longest extent until it is a single block, as a k-d tree is built. Positions are in
    any unit. ValueError where there are fewer cells than blocks.
    """
    if len(place_NS) < blocks:
        raise ValueError(f"{len(place_NS)} cells are too few for {blocks} blocks")
    block_N = np.empty(len(place_NS), np.int64)

    def cut(rows: npt.NDArray[np.int64], first: int, count: int) -> None:
        if count == 1:
            block_N[rows] = first
            return
        axis = int(np.ptp(place_NS[rows], axis=0).argmax())
        ordered = rows[np.argsort(place_NS[rows, axis], kind="stable")]
        left = count // 2
        border = round(len(rows) * left / count)
        cut(ordered[:border], first, left)
        cut(ordered[border:], first + left, count - left)

    cut(np.arange(len(place_NS)), 0, blocks)
    return block_N


def jackknife_interval(values_K1: Array, bounds: tuple[float, float] = (-np.inf, np.inf)) -> tuple[float, float] | None:
    """The 95 % interval of a score, which is the first value; the others are the scores without each block, (1 + K,).

    score ± t(0.975; K − 1) · sqrt((K − 1) / K · Σ (θ_k − mean θ)²), kept within `bounds`, the range of the metric. For
    a difference of two methods, pass their differences: both are scored on the same cells. None with fewer than two
    blocks.
    """
    score, without_K = float(values_K1[0]), values_K1[1:]
    blocks = len(without_K)
    if blocks < 2:
        return None
    error = np.sqrt((blocks - 1) / blocks * ((without_K - without_K.mean()) ** 2).sum())
    half = float(stdtrit(blocks - 1, (1 + LEVEL) / 2) * error)
    low, high = (float(bound) for bound in np.clip([score - half, score + half], *bounds))
    return min(low, score), max(high, score)
