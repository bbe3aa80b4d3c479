"""Marginal negative binomial: all cells alike but for depth. Initialises the VAE.

G: genes.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from pipeline.data.cells import Cells

_LARGEST_THETA = 1e3  # practically Poisson; moment estimates beyond it are noise
_SMALLEST_THETA = 1e-2


def marginal_negative_binomial(
    blocks: Iterable[Cells], genes: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Log share of the counts and log θ of each gene, both (G,), of cells that come in blocks.

    The model is x ~ NB(mean = library_size · share, θ). θ by moments: Σμ² / (Σ(x−μ)² − Σμ), clipped to [0.01, 1000]. A
    pseudocount of one half keeps the share of undetected genes positive. What is summed are whole numbers, so the size
    of the blocks has no part in the result (below sums of 2^53).
    """
    total_G, square_G, by_depth_G = np.zeros((3, genes))
    library_sum = library_square = 0.0
    for block in blocks:
        gene, x = block.indices, block.counts.astype(np.float64)
        library = block.library_size.astype(np.float64)
        total_G += np.bincount(gene, x, genes)
        square_G += np.bincount(gene, x * x, genes)
        by_depth_G += np.bincount(gene, x * np.repeat(library, np.diff(block.indptr)), genes)
        library_sum += float(library.sum())
        library_square += float((library**2).sum())
    share_G = (total_G + 0.5) / (total_G.sum() + 0.5 * genes)
    mean_square_G = share_G**2 * library_square
    residual_G = square_G - 2 * share_G * by_depth_G
    excess_G = residual_G + mean_square_G - share_G * library_sum
    ratio_G = np.divide(mean_square_G, excess_G, out=np.full(genes, np.inf), where=excess_G > 0)
    theta_G = np.clip(ratio_G, _SMALLEST_THETA, _LARGEST_THETA)
    return np.log(share_G).astype(np.float32), np.log(theta_G).astype(np.float32)
