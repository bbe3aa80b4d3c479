"""All scores of a predicted perturbation response against the true one.

G: genes; B, N: true and predicted cells; Q: other perturbations; R: bootstrap resamples of the cells, the first row
being the original cells (see `pipeline.cfm_vc.metrics.bootstrap`).

The true cells are resampled and, for population distances, the predicted cells. What depends on the true cells is
recomputed: their mean, gene ranks and DE genes. Held fixed are the weights of genes, the mean of the controls, the
predicted mean, the true changes of other perturbations, and the space of the distances. So an interval covers the
sampling of cells of the held-out group, not that of the training data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pipeline.cfm_vc.data.groups import Moments
from pipeline.cfm_vc.metrics.bootstrap import draws, resampled_moments
from pipeline.cfm_vc.metrics.differential import de_direction, de_genes, de_overlap, de_rank
from pipeline.cfm_vc.metrics.populations import Space, population_distances
from pipeline.cfm_vc.metrics.wasserstein import wasserstein
from pipeline.cfm_vc.metrics.weighted import de_weights, pooled, r2_weighted, wmse
from pipeline.metrics.perturbation import discrimination, mae, mse, pearson, pearson_top, slope_change

Array = npt.NDArray[np.float64]
Expression = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Response:
    """A perturbation response, predicted or true.

    change_RG: change of the mean, a single row if held fixed; population_BG: cells, and how often each is drawn.
    """

    change_RG: Array
    population_BG: Expression
    times_RB: Array


@dataclass(frozen=True)
class Yardstick:
    """What scoring needs besides the true response.

    rank_RG: rank of each gene by |Welch's t|; de_RG: the DE genes; weight_1G: how specific each gene is to the
    perturbation (`de_weights`), of the original cells: in a resample a gene can be constant, t infinite, and all weight
    on it; others_QG: true changes of the other perturbations of the cell type; top_genes: the
    numbers n of most DE genes.
    """

    rank_RG: npt.NDArray[np.int64]
    de_RG: npt.NDArray[np.bool_]
    weight_1G: Array
    others_QG: Array
    space: Space
    top_genes: list[int]


def response_of(
    moments: Moments, control_mean_G: Array, sample_BG: Expression, replicates: int, random: np.random.Generator
) -> tuple[Response, Moments]:
    """The response of real cells, with resamples; `moments` are over all cells, the sample holds all or some."""
    times_RB = draws(len(sample_BG), replicates, random)
    resampled = resampled_moments(moments, sample_BG, times_RB)
    return Response(resampled.mean_G - control_mean_G, sample_BG, times_RB), resampled


def yardstick(
    treated: Moments, control: Moments, others: Sequence[Moments], space: Space, top_genes: list[int]
) -> Yardstick:
    """Computed from the moments of the true cells (resampled), of the controls, and of the true cells of each other
    perturbation of the cell type."""
    return Yardstick(
        de_rank(treated, control),
        de_genes(treated, control),
        de_weights(treated, pooled(others) if others else control)[:1],
        np.reshape([other.mean_G - control.mean_G for other in others], (len(others), len(control.mean_G))),
        space,
        top_genes,
    )


def scores_of(predicted: Response, true: Response, by: Yardstick) -> dict[str, Array]:
    """Every score by name, (R,); NaN where undefined. See the functions called for definitions.

    pearson_change, slope_change: over all genes; pearson_change_top<n>: over the n most DE genes; mse, mae, wmse,
    r2_weighted, discrimination, de_overlap_top<n>, de_direction; e_distance, mmd: in principal components; wasserstein:
    mean over all genes, and wasserstein_top<n> over the n most DE genes, for the largest n. Population distances are
    undefined if either has fewer than two cells.
    """
    change = (predicted.change_RG, true.change_RG)
    scores = {"pearson_change": pearson(*change)}
    for top in by.top_genes:
        scores[f"pearson_change_top{top}"] = pearson_top(*change, by.rank_RG, top)
    scores |= {"slope_change": slope_change(*change), "mse": mse(*change), "mae": mae(*change)}
    scores |= {
        "wmse": wmse(*change, by.weight_1G),
        "r2_weighted": r2_weighted(*change, by.others_QG, by.weight_1G),
    }
    populations = (predicted.population_BG, true.population_BG, predicted.times_RB, true.times_RB)
    scores |= population_distances(*populations, by.space)
    scores["discrimination"] = discrimination(*change, by.others_QG)
    overlap = de_overlap(*change, by.top_genes)
    scores |= {f"de_overlap_top{top}": share_R for top, share_R in overlap.items()}
    scores["de_direction"] = de_direction(*change, by.de_RG)
    return scores | _wasserstein(predicted, true, by)


def split_half_scores(
    halves: tuple[Moments, Moments],
    control_mean_G: Array,
    sample_BG: Expression,
    by: Yardstick,
    replicates: int,
    random: np.random.Generator,
) -> dict[str, Array]:
    """The split-half ceiling: the first half of the true cells as the prediction, the second as the truth.

    A prediction that beats it estimates the true mean better than half of the true cells do. For small groups the noise
    of the half means keeps the ceiling low. The means are those of `halves`; the populations are every second pair of
    rows of `sample_BG`, a sample of the truth, and the others, so that even rows stay even and odd ones odd (see
    `Space`). Ranks, DE genes, weights and the space are those of all true cells, held fixed; both halves are resampled,
    means included.
    """
    part_B = np.arange(len(sample_BG)) // 2 % 2
    first, second = (
        response_of(half, control_mean_G, sample_BG[part_B == part], replicates, random)[0]
        for part, half in enumerate(halves)
    )
    fixed = replace(by, rank_RG=by.rank_RG[:1], de_RG=by.de_RG[:1])
    return scores_of(first, second, fixed)


def control_misses(scores: Mapping[str, Array], true: Response) -> list[str]:
    """Scores of the positive control that are not perfect: a bug in the metrics or a fault of their input.

    Correlations, slopes, R², overlaps, directions and discrimination must be 1, errors and Wasserstein distances 0;
    E-distance and MMD, which exclude a cell's distance to itself within populations only, at most 0. A correlation may
    also be 0 if the true change is the same for all genes, and undefined scores are accepted.
    """
    constant = bool(np.ptp(true.change_RG[0]) == 0)
    misses = []
    for name, values_R in scores.items():
        value = float(values_R[0])
        if name in ("e_distance", "mmd"):
            right = value <= 1e-9
        elif name in ("mse", "mae", "wmse") or name.startswith("wasserstein"):
            right = abs(value) <= 1e-9
        else:
            right = abs(value - 1) <= 1e-9 or (constant and value == 0)
        if not right and not np.isnan(value):
            misses.append(f"{name} is {value!r}")
    return misses


def _wasserstein(predicted: Response, true: Response, by: Yardstick) -> dict[str, Array]:
    top = max(by.top_genes)
    if not _comparable(predicted, true):
        return dict.fromkeys(["wasserstein", f"wasserstein_top{top}"], _undefined(true))
    distance_RG = wasserstein(predicted.population_BG, true.population_BG, predicted.times_RB, true.times_RB)
    top_RG = np.broadcast_to(by.rank_RG <= top, distance_RG.shape)
    return {
        "wasserstein": distance_RG.mean(axis=1),
        f"wasserstein_top{top}": np.mean(distance_RG, axis=1, where=top_RG),
    }


def _comparable(predicted: Response, true: Response) -> bool:
    return min(len(predicted.population_BG), len(true.population_BG)) >= 2


def _undefined(true: Response) -> Array:
    return np.full(len(true.times_RB), np.nan)
