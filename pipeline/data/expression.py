"""Log-normalised expression: the scale on which cells of different depth are compared."""

import numpy as np
import numpy.typing as npt


def log_normalise(
    counts_BG: npt.NDArray[np.number], library_size_B: npt.NDArray[np.number], target: float
) -> npt.NDArray[np.float32]:
    """log(1 + counts / library_size · target), natural logarithm, float32 (B, G).

    library_size_B: counts of the cell over the same genes (the kept ones); target: counts that every cell is scaled
    to. A cell without counts has no composition: it stays 0 everywhere. This is scanpy's `normalize_total` and `log1p`.
    """
    scale_B = _scale(library_size_B, target)
    expression_BG: npt.NDArray[np.float32] = np.log1p(counts_BG * scale_B[:, None].astype(np.float32), dtype=np.float32)
    return expression_BG


def log_normalise_entries(
    counts: npt.NDArray[np.number], cell: npt.NDArray[np.int64], library_size_B: npt.NDArray[np.number], target: float
) -> npt.NDArray[np.float64]:
    """The same for the stored entries of a sparse matrix: `counts` and the row `cell` of each; float64.

    Entries that are not stored are 0 before and after.
    """
    expression: npt.NDArray[np.float64] = np.log1p(counts * _scale(library_size_B, target)[cell])
    return expression


def median_library_size(library_size_B: npt.NDArray[np.number]) -> float:
    """The target used throughout the evaluation: the median of the given cells' non-zero library sizes.

    ValueError if no cell has a count.
    """
    library_size_B = library_size_B[library_size_B > 0]
    if not len(library_size_B):
        raise ValueError("no cell has a count, so there is no library size to scale to")
    return float(np.median(library_size_B))


def _scale(library_size_B: npt.NDArray[np.number], target: float) -> npt.NDArray[np.float64]:
    scale_B = np.zeros(len(library_size_B))
    np.divide(target, library_size_B, out=scale_B, where=library_size_B > 0)
    return scale_B
