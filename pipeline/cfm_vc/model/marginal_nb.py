"""The simplest model of counts: every cell alike but for its depth. A baseline, and where the VAE starts from.

G: genes.
"""

import numpy as np
import numpy.typing as npt

from pipeline.data.cells import Cells

_LARGEST_THETA = 1e3  # hardly told from Poisson; a moment estimate beyond it is noise
_SMALLEST_THETA = 1e-2
_BLOCK = 65_536  # cells


def marginal_negative_binomial(cells: Cells) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Logarithms of each gene's share of the counts and of its θ, both (G,).

    The model is x ~ NB(mean = library_size · share, θ). θ by moments: Σμ² / (Σ(x−μ)² − Σμ), held in [0.01, 1000]. Half
    a count is added to every gene, so that one never seen has a share too.
    """
    library = cells.library_size.astype(np.float64)
    total_G, square_G, by_depth_G = np.zeros((3, cells.genes))
    # In blocks: numpy would make three copies of all counts, as float64.
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
