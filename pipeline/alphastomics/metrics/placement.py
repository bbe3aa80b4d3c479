"""How well predicted positions match the true ones: alignment-free by distances and neighbours, and after alignment.

N: cells of a section, M: those of a sample of them, P: their pairs, S: spatial dimensions. Scores of
distances and neighbours are invariant under translation, rotation, reflection and scaling of the prediction.

The scores are `SCORES`. A prediction that puts all cells at one position has finite scores too: correlations 0, a
neighbour overlap of chance, k / (N − 1), and an RMSD of 1; every pair is a predicted contact, so recall is 1 and
precision the share of contacts.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist, pdist, squareform
from scipy.stats import rankdata

from pipeline.alphastomics.metrics.alignment import kabsch
from pipeline.metrics.perturbation import pearson

Array = npt.NDArray[np.float64]

SCORES = (
    "spearman_distances",
    "pearson_distances",
    "spearman_per_cell",
    "pearson_per_cell",
    "knn_overlap",
    "contact_precision",
    "contact_recall",
    "contact_f1",
    "rmsd_over_gyration",
    "rmsd_over_gyration_without_reflection",
    "rmsd_in_frame_over_gyration",
)
MAX_CELLS = 3000

_ROUNDING = 1e-9  # relative difference of distances that count as equal, so that a rotated lattice keeps its neighbours
_BLOCK_ENTRIES = 500_000  # of a block of distances: 4 MB, within the cache
_SEARCHED = 2_000  # cells: of more, nearest neighbours are searched for in a tree, whose cost does not grow with them
_SPARE = 9  # more neighbours than are asked for, to see whether others are tied with the last


def placement_scores(
    true_NS: npt.NDArray[np.floating],
    predicted_NS: npt.NDArray[np.floating],
    neighbours: int = 10,
    contact_quantile: float = 0.1,
    max_cells: int = MAX_CELLS,
    seed: int = 0,
    scored_M: npt.NDArray[np.int64] | None = None,
) -> dict[str, float]:
    """All `SCORES` of one section.

    spearman_distances, pearson_distances: correlation over all pairs of cells of true and predicted distance.
    spearman_per_cell, pearson_per_cell: mean over cells of the correlation of the distances to all other cells.
    knn_overlap: see `knn_overlap`, of all cells; contact_*: see `contact_scores`.
    rmsd_over_gyration: root-mean-square distance of prediction and truth after the best rotation, reflection and
    translation (`kabsch`, no scaling), over the radius of gyration of the truth, sqrt(mean |x − mean x|²); the same
    without reflection; and `in_frame`, without any alignment.

    In sections of more than `max_cells` cells the scores of distances are those of the pairs among `max_cells` cells
    drawn at random with `seed`, and the neighbours are those of the drawn cells among all. RMSDs are of all cells.
    scored_M: the indices of the cells to take in place of those.

    Unit: both sides in the same, any; scores are dimensionless. ValueError where the shapes differ, a coordinate is not
    finite, there are fewer than `neighbours` + 2 cells, or all true positions coincide.
    """
    true_NS, predicted_NS = _checked(true_NS, predicted_NS, neighbours)
    chosen_M = drawn_cells(len(true_NS), max_cells, seed) if scored_M is None else scored_M
    true_P, predicted_P = pdist(true_NS[chosen_M]), pdist(predicted_NS[chosen_M])
    by_cell = _per_cell(squareform(true_P), squareform(predicted_P))
    gyration = _root_mean_square(true_NS - true_NS.mean(axis=0))
    aligned = {
        reflection: kabsch(predicted_NS, true_NS, reflection=reflection).apply(predicted_NS)
        for reflection in (True, False)
    }
    return {
        "spearman_distances": float(pearson(_ranks(true_P), _ranks(predicted_P))),
        "pearson_distances": float(pearson(true_P, predicted_P)),
        "spearman_per_cell": by_cell[0],
        "pearson_per_cell": by_cell[1],
        "knn_overlap": knn_overlap(true_NS, predicted_NS, neighbours, chosen_M),
        **contact_scores(true_P, predicted_P, contact_quantile),
        "rmsd_over_gyration": _root_mean_square(aligned[True] - true_NS) / gyration,
        "rmsd_over_gyration_without_reflection": _root_mean_square(aligned[False] - true_NS) / gyration,
        "rmsd_in_frame_over_gyration": _root_mean_square(predicted_NS - true_NS) / gyration,
    }


def drawn_cells(cells: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    """Indices of all cells, or of as many as `most` of them drawn at random, in their order."""
    if cells <= most:
        return np.arange(cells)
    drawn_M: npt.NDArray[np.int64] = np.sort(np.random.default_rng(seed).choice(cells, most, replace=False))
    return drawn_M


def knn_overlap(true_NS: Array, predicted_NS: Array, neighbours: int, cell_M: npt.NDArray[np.int64]) -> float:
    """Share of the k true nearest neighbours of a cell that are among its k predicted ones, mean over `cell_M`.

    Cells tied for the k-th place (on a lattice, or where a baseline puts a whole cell type at one position) are
    fractional neighbours with equal weights, which sum to k over all cells; the overlap is the sum over cells of the
    smaller weight. So it does not depend on the order of the cells: the truth scores 1, and one position for all cells
    scores k / (N − 1), as chance does.
    """
    shared, left_M = 0.0, cell_M
    if len(true_NS) > _SEARCHED:
        shared, left_M = _searched_overlap(true_NS, predicted_NS, neighbours, cell_M)
    step = max(1, _BLOCK_ENTRIES // len(true_NS))
    for start in range(0, len(left_M), step):
        rows = left_M[start : start + step]
        true_BN, predicted_BN = (_neighbourhood(place_NS, rows, neighbours) for place_NS in (true_NS, predicted_NS))
        shared += float(np.minimum(true_BN, predicted_BN).sum())
    return shared / (neighbours * len(cell_M))


def contact_scores(true_P: Array, predicted_P: Array, quantile: float) -> dict[str, float]:
    """Precision, recall and F1 of contacts, the pairs of cells that are near each other.

    A pair is in contact whose true distance is at most the threshold, the `quantile` of all true distances. It is
    predicted to be whose predicted distance, times the factor that brings predicted distances closest to the true ones
    (least squares: Σ d·p / Σ p²), is at most the same threshold. So the number of predicted contacts is not
    fixed: a prediction that crowds its cells predicts too many and loses precision, one that scatters them loses
    recall. (With the quantile of predicted distances as the threshold, precision, recall and F1 would be one number.)
    The precision of chance is `quantile`. 0 where no contact is predicted.
    """
    squares = float(predicted_P @ predicted_P)
    factor = float(true_P @ predicted_P) / squares if squares > 0 else 1.0
    threshold = float(np.quantile(true_P, quantile)) * (1 + _ROUNDING)
    true, called = true_P <= threshold, factor * predicted_P <= threshold
    right = int((true & called).sum())
    precision = right / int(called.sum()) if called.any() else 0.0
    recall = right / int(true.sum())
    f1 = 2 * right / int(true.sum() + called.sum())
    return {"contact_precision": precision, "contact_recall": recall, "contact_f1": f1}


def _checked(
    true_NS: npt.NDArray[np.floating], predicted_NS: npt.NDArray[np.floating], neighbours: int
) -> tuple[Array, Array]:
    """Both sides centred on the true mean, in float64; predictions that coincide up to rounding are made equal."""
    true_NS, predicted_NS = np.asarray(true_NS, np.float64), np.asarray(predicted_NS, np.float64)
    if true_NS.shape != predicted_NS.shape or true_NS.ndim != 2:
        raise ValueError(f"positions of the same cells are needed, got {true_NS.shape} and {predicted_NS.shape}")
    if not (np.isfinite(true_NS).all() and np.isfinite(predicted_NS).all()):
        raise ValueError("a coordinate is not finite")
    if len(true_NS) < neighbours + 2:
        raise ValueError(f"{len(true_NS)} cells are too few to compare {neighbours} neighbours of each")
    if _one_place(true_NS):
        raise ValueError("all true positions are the same: there is no arrangement to score")
    if _one_place(predicted_NS):
        predicted_NS = np.broadcast_to(predicted_NS[:1], predicted_NS.shape)
    centre_S = true_NS.mean(axis=0)
    return true_NS - centre_S, predicted_NS - centre_S


def _one_place(place_NS: npt.NDArray[np.floating]) -> bool:
    return bool((np.ptp(place_NS, axis=0) <= 1e-12 * np.abs(place_NS).max()).all())


def _per_cell(true_MM: Array, predicted_MM: Array) -> tuple[float, float]:
    """Spearman and Pearson, means over rows of distances without the diagonal, a block of rows at a time."""
    step = max(1, _BLOCK_ENTRIES // len(true_MM))
    ranked, plain = 0.0, 0.0
    for start in range(0, len(true_MM), step):
        rows = slice(start, start + step)
        others_BM = ~np.eye(len(true_MM), dtype=bool)[rows]
        true_BO, predicted_BO = (
            of_MM[rows][others_BM].reshape(len(others_BM), -1) for of_MM in (true_MM, predicted_MM)
        )
        plain += float(pearson(true_BO, predicted_BO).sum())
        ranked += float(pearson(_ranks(true_BO), _ranks(predicted_BO)).sum())
    return ranked / len(true_MM), plain / len(true_MM)


def _ranks(distance: Array) -> Array:
    """Ranks along the last axis, ties averaged; values that differ by rounding alone (a rotated lattice) are ties."""
    largest = float(distance.max()) or 1.0
    ranks: Array = rankdata(np.round(distance * (0.1 / _ROUNDING / largest)), axis=-1)
    return ranks


def _neighbourhood(place_NS: Array, cell_B: npt.NDArray[np.int64], neighbours: int) -> Array:
    """The weight of each cell as a nearest neighbour of the cells `cell_B`, (B, N); rows sum to `neighbours`.

    1 for cells nearer than the k-th, and the rest shared equally by those tied with it.
    """
    distance_BN = cdist(place_NS[cell_B], place_NS)
    distance_BN[np.arange(len(cell_B)), cell_B] = np.inf
    last_B1 = np.partition(distance_BN, neighbours - 1, axis=1)[:, [neighbours - 1]]
    nearer_BN = distance_BN < last_B1 * (1 - _ROUNDING)
    level_BN = (distance_BN <= last_B1 * (1 + _ROUNDING)) & ~nearer_BN
    left_B1 = neighbours - nearer_BN.sum(axis=1, keepdims=True)
    share_BN: Array = np.where(nearer_BN, 1.0, level_BN * (left_B1 / level_BN.sum(axis=1, keepdims=True)))
    return share_BN


def _searched_overlap(
    true_NS: Array, predicted_NS: Array, neighbours: int, cell_M: npt.NDArray[np.int64]
) -> tuple[float, npt.NDArray[np.int64]]:
    """The sum that `knn_overlap` takes of all distances, by nearest-neighbour search; and the cells left out of it, on
    either side of which more are tied than were searched for."""
    true, predicted = (_found_neighbours(place_NS, cell_M, neighbours) for place_NS in (true_NS, predicted_NS))
    whole_M = true.whole_M & predicted.whole_M
    same_MKK = true.index_MK[whole_M][:, :, None] == predicted.index_MK[whole_M][:, None, :]
    smaller_MKK = np.minimum(true.weight_MK[whole_M][:, :, None], predicted.weight_MK[whole_M][:, None, :])
    return float(smaller_MKK[same_MKK].sum()), cell_M[~whole_M]


class _Found(NamedTuple):
    """Cells searched for, K of them, with their weights as nearest neighbours; and whether those are all with one."""

    index_MK: npt.NDArray[np.int64]
    weight_MK: Array
    whole_M: npt.NDArray[np.bool_]


def _found_neighbours(place_NS: Array, cell_M: npt.NDArray[np.int64], neighbours: int) -> _Found:
    """What `_neighbourhood` has in the columns that are not 0."""
    distance_MK, index_MK = cKDTree(place_NS).query(place_NS[cell_M], neighbours + 1 + _SPARE)
    farthest_M = distance_MK[:, -1].copy()
    distance_MK[index_MK == cell_M[:, None]] = np.inf
    last_M1 = np.partition(distance_MK, neighbours - 1, axis=1)[:, [neighbours - 1]]
    nearer_MK = distance_MK < last_M1 * (1 - _ROUNDING)
    level_MK = (distance_MK <= last_M1 * (1 + _ROUNDING)) & ~nearer_MK
    left_M1 = neighbours - nearer_MK.sum(axis=1, keepdims=True)
    weight_MK = np.where(nearer_MK, 1.0, level_MK * (left_M1 / level_MK.sum(axis=1, keepdims=True)))
    return _Found(index_MK, weight_MK, farthest_M > last_M1[:, 0] * (1 + _ROUNDING))


def _root_mean_square(offset_NS: Array) -> float:
    return float(np.sqrt((offset_NS**2).sum(axis=1).mean()))
