"""Marginal negative binomial: all cells alike but for depth. Initialises the VAE.

G: genes.
"""

import numpy as np
import numpy.typing as npt

from pipeline.data.cells import Cells

_LARGEST_THETA = 1e3  # practically Poisson; moment estimates beyond it are noise
_SMALLEST_THETA = 1e-2
_BLOCK = 65_536  # cells


def marginal_negative_binomial(cells: Cells) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Log share of the counts and log θ of each gene, both (G,).

    The model is x ~ NB(mean = library_size · share, θ). θ by moments: Σμ² / (Σ(x−μ)² − Σμ), clipped to [0.01, 1000]. A
    pseudocount of one half keeps the share of undetected genes positive.
    """
    library = cells.library_size.astype(np.float64)
    total_G, square_G, by_depth_G = np.zeros((3, cells.genes))
    # In blocks: numpy would otherwise make three float64 copies of all counts.
    for start in range(0, len(cells), _BLOCK):
        bounds = cells.indptr[start : start + _BLOCK + 1]
        entries = slice(bounds[0], bounds[-1])
        gene, x = cells.indices[entries], cells.counts[entries].astype(np.float64)
        total_G += np.bincount(gene, x, cells.genes)
        square_G += np.bincount(gene, x * x, cells.genes)
        by_depth_G += np.bincount(gene, x * np.repeat(library[start : start + _BLOCK], np.diff(bounds)), cells.genes)
    share_G = (total_G + 0.5) / (total_G.sum() + 0.5 * cells.genes)
    mean_square_G = share_G**2 * np.sum(library**2)
    residual_G = square_G - 2 * share_G * by_depth_G
    excess_G = residual_G + mean_square_G - share_G * library.sum()
    ratio_G = np.divide(mean_square_G, excess_G, out=np.full(cells.genes, np.inf), where=excess_G > 0)
    theta_G = np.clip(ratio_G, _SMALLEST_THETA, _LARGEST_THETA)
    return np.log(share_G).astype(np.float32), np.log(theta_G).astype(np.float32)
