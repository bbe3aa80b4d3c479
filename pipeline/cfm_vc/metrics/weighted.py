"""Errors of a predicted mean, weighted by how specific each gene is to the perturbation.

G: genes; Q: other perturbations; R: rows of resamples, or one (see `metrics.bootstrap`); all functions reduce
the last axis and broadcast the others. Source: Mejia et al. (2025, arXiv:2506.22641), Diversity by Design: Addressing
Mode Collapse Improves scRNA-seq Perturbation Modeling on Well-Calibrated Metrics. Few genes respond, and much of their
response is shared by many perturbations: unweighted errors against the control reward a prediction of the mean over
perturbations, which says nothing of the one in question.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.cfm_vc.data.groups import Moments
from pipeline.cfm_vc.metrics.differential import welch_t

Array = npt.NDArray[np.float64]


def de_weights(treated: Moments, rest: Moments) -> Array:
    """Weight of each gene, w ∝ ((|t| − min |t|) / (max |t| − min |t|))², which sum to 1, (R, G).

    t: Welch's, of the true cells against `rest`, all cells of the other perturbations (or the controls, where no other
    perturbation is known). The source does the same within a data set of one cell type; here `rest` is of the cell type
    of the true cells. It divides the variance of `rest` by the number of true cells; here it is that of its own cells,
    as in all of our DE statistics. Genes of infinite t, if any, share all weight, the limit of the formula. Equal
    weights if all |t| are the same, where the source has none.
    """
    size_RG = np.abs(welch_t(treated, rest))
    infinite_RG = np.isinf(size_RG)
    size_RG = np.where(infinite_RG.any(axis=-1, keepdims=True), infinite_RG, size_RG)
    size_RG = size_RG - size_RG.min(axis=-1, keepdims=True)
    size_RG = np.where(size_RG.any(axis=-1, keepdims=True), size_RG, 1.0)
    # The maximum cancels when the weights are made to sum to 1; dividing by it avoids overflow.
    weight_RG = (size_RG / size_RG.max(axis=-1, keepdims=True)) ** 2
    return np.asarray(weight_RG / weight_RG.sum(axis=-1, keepdims=True))


def pooled(parts: Sequence[Moments]) -> Moments:
    """Moments of the cells of all parts together."""
    cells = sum(part.cells for part in parts)
    mean_G = np.sum([part.cells / cells * part.mean_G for part in parts], axis=0)
    return Moments(cells, mean_G, np.sum([part.squares_G for part in parts], axis=0))


def wmse(predicted_RG: Array, true_RG: Array, weight_RG: Array) -> Array:
    """WMSE: the weighted squared error of means, Σ w (p − t)²; equal for changes, since the control cancels."""
    return np.asarray(np.sum(weight_RG * (predicted_RG - true_RG) ** 2, axis=-1))


def r2_weighted(predicted_RG: Array, true_RG: Array, others_QG: Array, weight_RG: Array) -> Array:
    """R²w(Δ): the weighted coefficient of determination of changes, 1 − Σ w (Δ − Δ̂)² / Σ w (Δ − Σ w Δ)².

    Δ and Δ̂ are the true and the predicted mean minus the mean over all perturbations of the cell type, that is of the
    true one and of `others_QG`, each weighted equally; minus the mean of the controls where no other is known. 1 is
    best; a constant Δ̂ = Σ w Δ would score 0; the mean over all perturbations, Δ̂ = 0, scores at most 0.

    Arguments are changes against control, which cancels. As in the source, but for the mean: that is over the
    perturbations of one cell type, since cell types differ in what no perturbation explains. NaN if Δ is the same for
    all genes of positive weight.
    """
    shared_RG = (true_RG + others_QG.sum(axis=0)) / (1 + len(others_QG)) if len(others_QG) else np.zeros_like(true_RG)
    delta_RG = true_RG - shared_RG
    centre_R1 = np.sum(weight_RG * delta_RG, axis=-1, keepdims=True)
    spread_R = np.sum(weight_RG * (delta_RG - centre_R1) ** 2, axis=-1)
    error_R, spread_R = np.broadcast_arrays(wmse(predicted_RG, true_RG, weight_RG), spread_R)
    unexplained_R: Array = np.divide(error_R, spread_R, out=np.full(error_R.shape, np.nan), where=spread_R > 0)
    return 1 - unexplained_R
