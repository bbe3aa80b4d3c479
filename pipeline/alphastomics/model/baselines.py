"""Position and expression baselines for models of tissue, and the controls.

N: training cells; M: query cells; G: genes; S: spatial dimensions; K: components. A method maps the training cells and
a query to a prediction; a new one is an entry of `PLACEMENT` or of `EXPRESSION`. `CONTROLS` are not methods: they use
the measurements, and bound the scores.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from pipeline.nn.ridge import choose_penalty, fit_ridge

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

NEIGHBOURS = 10
COMPONENTS = 30  # of expression, in which `knn` looks for similar cells
FOLDS = 5
_BLOCK_ENTRIES = 4_000_000  # of a block of distances: 32 MB


@dataclass(frozen=True)
class Reference:
    """Training cells. Positions, and predictions of them, are in the frames of sections (centred, one scale).

    Expression is log-normalised and standardised per gene, over the training cells.
    """

    expression_NG: npt.NDArray[np.floating]
    position_NS: npt.NDArray[np.floating]
    cell_type_N: Codes


@dataclass(frozen=True)
class Query:
    """Query cells of one section: their expression, to predict positions, or their positions, to predict expression.

    Expression is standardised as that of the training cells is. cell_type_M: None where cell types are not known; a
    code that no training cell has is an unknown type. seed: of the methods' random draws.
    """

    expression_MG: npt.NDArray[np.floating] | None
    position_MS: npt.NDArray[np.floating] | None
    cell_type_M: Codes | None
    seed: int


Method = Callable[[Reference, Query], Array]


def random(reference: Reference, query: Query) -> Array:
    """Each cell at the position of a training cell drawn at random, with replacement."""
    drawn_M = np.random.default_rng(query.seed).integers(len(reference.position_NS), size=_number(query))
    return _positions(reference)[drawn_M]


def cell_type_centroid(reference: Reference, query: Query) -> Array:
    """Each cell at the mean position of the training cells of its type; at that of all for an unknown type."""
    return _type_means(_positions(reference), reference.cell_type_N, _cell_types(query))


def pca_2(reference: Reference, query: Query) -> Array:
    """The first S principal components of expression, as positions: is the tissue the main axis of variation?

    Components are those of the training cells, scaled by one factor so that their root-mean-square radius is that of
    the training positions. Their signs are arbitrary.
    """
    position_NS = _positions(reference)
    places = position_NS.shape[1]
    centre_G, axes_GK = principal_axes(reference.expression_NG, places)
    if axes_GK.shape[1] < places:
        raise ValueError(f"{axes_GK.shape[1]} principal components cannot stand for {places} dimensions of space")
    radius = _radius((reference.expression_NG - centre_G) @ axes_GK)
    factor = _radius(position_NS - position_NS.mean(axis=0)) / radius if radius > 0 else 0.0
    placed_MS: Array = factor * ((_expression(query) - centre_G) @ axes_GK) + position_NS.mean(axis=0)
    return placed_MS


def ridge(reference: Reference, query: Query) -> Array:
    """Ridge regression of position on expression, its penalty chosen by cross-validation over training cells.

    Five random folds of cells. The penalty is per training cell, λ N with λ from `pipeline.nn.ridge.PENALTIES`
    (0.001 to 1000, where the variance of a standardised gene is 1).
    """
    position_NS = _positions(reference)
    cells = len(position_NS)
    x_NG = np.asarray(reference.expression_NG, np.float64) / np.sqrt(cells)
    fold_N = np.random.default_rng(query.seed).permutation(cells) % FOLDS
    fitted = fit_ridge(x_NG, position_NS, choose_penalty(x_NG, position_NS, fold_N))
    return fitted(_expression(query) / np.sqrt(cells))


def knn(reference: Reference, query: Query) -> Array:
    """The mean position of the 10 training cells with the most similar expression.

    Similar: near in the space of the first 30 principal components of the training cells (plain Euclidean).
    """
    centre_G, axes_GK = principal_axes(reference.expression_NG, COMPONENTS)
    known_NK = (reference.expression_NG - centre_G) @ axes_GK
    nearest_MK = _nearest(known_NK, (_expression(query) - centre_G) @ axes_GK, NEIGHBOURS)
    placed_MS: Array = _positions(reference)[nearest_MK].mean(axis=1)
    return placed_MS


def mean(reference: Reference, query: Query) -> Array:
    """The mean expression of all training cells, at every position."""
    mean_G = np.asarray(reference.expression_NG, np.float64).mean(axis=0)
    return np.tile(mean_G, (_number(query), 1))


def cell_type_mean(reference: Reference, query: Query) -> Array:
    """The mean expression of the training cells of its type; that of all for an unknown type."""
    return _type_means(np.asarray(reference.expression_NG, np.float64), reference.cell_type_N, _cell_types(query))


def knn_in_space(reference: Reference, query: Query) -> Array:
    """The mean expression of the 10 training cells nearest in space, across sections, in their frames."""
    return _nearby_mean(reference, _place(query), NEIGHBOURS)


def knn_in_space_same_type(reference: Reference, query: Query) -> Array:
    """The same among the training cells of the cell's type (all there are, where fewer); among all if it is unknown."""
    place_MS, cell_type_M = _place(query), _cell_types(query)
    answer_MG = np.empty((len(place_MS), reference.expression_NG.shape[1]))
    for code in np.unique(cell_type_M):
        rows_M, like_N = cell_type_M == code, reference.cell_type_N == code
        among = like_N if like_N.any() else np.ones_like(like_N)
        same = Reference(reference.expression_NG[among], reference.position_NS[among], reference.cell_type_N[among])
        answer_MG[rows_M] = _nearby_mean(same, place_MS[rows_M], NEIGHBOURS)
    return answer_MG


PLACEMENT: dict[str, Method] = {
    "random": random,
    "cell_type_centroid": cell_type_centroid,
    "pca_2": pca_2,
    "ridge": ridge,
    "knn": knn,
}
EXPRESSION: dict[str, Method] = {
    "mean": mean,
    "cell_type_mean": cell_type_mean,
    "knn_in_space": knn_in_space,
    "knn_in_space_same_type": knn_in_space_same_type,
}


def truth(true_MX: npt.NDArray[np.floating], seed: int) -> Array:
    """The positive control, the measurements themselves: a perfect prediction. `seed` is not used."""
    del seed
    return np.array(true_MX, np.float64)


def shuffled(true_MX: npt.NDArray[np.floating], seed: int) -> Array:
    """The negative control: the measurements, permuted among the cells of the section."""
    return np.random.default_rng(seed).permutation(np.asarray(true_MX, np.float64), axis=0)


CONTROLS: dict[str, Callable[[npt.NDArray[np.floating], int], Array]] = {"truth": truth, "shuffled": shuffled}


def _positions(reference: Reference) -> Array:
    return np.asarray(reference.position_NS, np.float64)


def _expression(query: Query) -> Array:
    if query.expression_MG is None:
        raise ValueError("the query has no expression")
    return np.asarray(query.expression_MG, np.float64)


def _place(query: Query) -> Array:
    if query.position_MS is None:
        raise ValueError("the query has no positions")
    return np.asarray(query.position_MS, np.float64)


def _cell_types(query: Query) -> Codes:
    if query.cell_type_M is None:
        raise ValueError("the query has no cell types")
    return query.cell_type_M


def _number(query: Query) -> int:
    """The number of query cells."""
    for given in (query.expression_MG, query.position_MS, query.cell_type_M):
        if given is not None:
            return len(given)
    raise ValueError("the query has neither expression, positions nor cell types")


def _type_means(value_NX: Array, cell_type_N: Codes, cell_type_M: Codes) -> Array:
    """Mean over the training cells of each query cell's type, (M, X); over all for a type that none has."""
    known, code_N = np.unique(cell_type_N, return_inverse=True)
    sums = np.zeros((len(known), value_NX.shape[1]))
    np.add.at(sums, code_N, value_NX)
    means = np.concatenate([sums / np.bincount(code_N)[:, None], value_NX.mean(axis=0, keepdims=True)])
    place_M = np.searchsorted(known, cell_type_M)
    found_M = known[np.minimum(place_M, len(known) - 1)] == cell_type_M
    answer_MX: Array = means[np.where(found_M, place_M, len(known))]
    return answer_MX


def _nearby_mean(reference: Reference, place_MS: Array, neighbours: int) -> Array:
    """Mean expression of the nearest training cells, (M, G), of all of them where there are fewer."""
    count = min(neighbours, len(reference.position_NS))
    nearest_MK = cKDTree(reference.position_NS).query(place_MS, count)[1].reshape(len(place_MS), count)
    total_MG = np.zeros((len(place_MS), reference.expression_NG.shape[1]))
    for nearest_M in nearest_MK.T:  # not (M, K, G) at once
        total_MG += reference.expression_NG[nearest_M]
    return total_MG / count


def principal_axes(x_NG: npt.NDArray[np.floating], count: int) -> tuple[Array, Array]:
    """The mean (G,) and the first principal axes (G, K), fewer where N − 1 or G is smaller.

    By the eigenvectors of the covariance of genes; the sign of an axis, which is free, makes its entry of largest
    magnitude positive.
    """
    x_NG = np.asarray(x_NG, np.float64)
    centre_G = x_NG.mean(axis=0)
    centred_NG = x_NG - centre_G
    kept = min(count, max(len(x_NG) - 1, 1), x_NG.shape[1])
    axes_GK = np.linalg.eigh(centred_NG.T @ centred_NG)[1][:, ::-1][:, :kept]
    largest_K = axes_GK[np.abs(axes_GK).argmax(axis=0), np.arange(kept)]
    return centre_G, axes_GK * np.where(largest_K < 0, -1.0, 1.0)


def _nearest(known_NK: Array, asked_MK: Array, neighbours: int) -> Codes:
    """The indices (M, k) of the nearest rows, in no particular order; of all rows where there are fewer."""
    count = min(neighbours, len(known_NK))
    squares_N = (known_NK**2).sum(axis=1)
    step = max(1, _BLOCK_ENTRIES // len(known_NK))
    parts = []
    for start in range(0, len(asked_MK), step):
        # The squared distance less |asked|², which is the same for all known rows.
        distance_BN = squares_N - 2 * asked_MK[start : start + step] @ known_NK.T
        # A copy: a view would keep all indices of the block, and so those of all pairs of cells.
        parts.append(np.argpartition(distance_BN, count - 1, axis=1)[:, :count].copy())
    return np.concatenate(parts)


def _radius(offset_NS: Array) -> float:
    return float(np.sqrt((offset_NS**2).sum(axis=1).mean()))
