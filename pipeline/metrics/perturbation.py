"""Scores of a predicted mean change against the true one.

G: genes; R: bootstrap resamples, or one row; all functions reduce the last axis and
broadcast the others. "Mean" is the mean over cells of log-normalised expression
(`pipeline.data.expression.log_normalise`); "change" is a mean minus that of the control cells of the same cell type,
for truth and prediction alike. For DE genes see `pipeline.cfm_vc.metrics.differential`, for distances between
populations `pipeline.cfm_vc.metrics.distances` and `wasserstein`.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_CONSTANT = 1e-12  # relative deviation from the mean that is rounding error


def pearson(x_RG: Array, y_RG: Array) -> Array:
    """Pearson correlation over genes; 0 if either side is constant.

    So the prediction "no change" scores 0.
    """
    x_RG, y_RG = _unit(x_RG), _unit(y_RG)
    return np.asarray(np.clip(np.sum(x_RG * y_RG, axis=-1), -1, 1))


def pearson_top(predicted_RG: Array, true_RG: Array, rank_RG: npt.NDArray[np.int64], top: int) -> Array:
    """Pearson correlation over the genes with `rank_RG` <= top (all genes where there are fewer)."""
    order_RG = np.argsort(rank_RG, axis=-1, kind="stable")[..., :top]
    return pearson(_pick(predicted_RG, order_RG), _pick(true_RG, order_RG))


def slope_change(predicted_RG: Array, true_RG: Array) -> Array:
    """Least-squares slope, with intercept, of the predicted on the true change over genes, cov(p, t) / var(t).

    1 is the right size of the effect, below 1 is too small, 0 is no effect, and below 0 it goes the wrong way. Unlike a
    correlation it notices a change that is scaled, and it does not notice errors that are independent of the true
    change. Noise in the true means lowers it, as in any regression on a variable with errors (Fuller 1987, Measurement
    Error Models, chapter 1): for few cells, compare with the split-half ceiling. NaN if the true change is constant.
    """
    true_RG = _centred(true_RG)
    square_R = np.sum(true_RG**2, axis=-1)
    product_R = np.sum(true_RG * _centred(predicted_RG), axis=-1)
    square_R, product_R = np.broadcast_arrays(square_R, product_R)
    slope_R: Array = np.divide(product_R, square_R, out=np.full(square_R.shape, np.nan), where=square_R > 0)
    return slope_R


def mse(predicted_RG: Array, true_RG: Array) -> Array:
    """Mean over genes of the squared error of means; equal for changes, since the control cancels."""
    return np.asarray(np.mean((predicted_RG - true_RG) ** 2, axis=-1))


def mae(predicted_RG: Array, true_RG: Array) -> Array:
    """Mean over genes of the absolute error of means."""
    return np.asarray(np.mean(np.abs(predicted_RG - true_RG), axis=-1))


def discrimination(predicted_RG: Array, true_RG: Array, others_QG: Array) -> Array:
    """Perturbation discrimination score: is the prediction closest to the correct perturbation?

    others_QG: true changes of all other perturbations of the cell type, held out or not. With r the number of those
    closer to the prediction than the correct true change, ties counting half: 1 − r / Q, so 1 is best, 0.5 is chance
    and 0 is worst. NaN without other perturbations.

    Distance: L1 over all genes, as in the Virtual Cell Challenge (Roohani et al. 2025, Cell 188), where the denominator
    is Q + 1; changes and means have the same distances, since the control is shared. Unlike there, target genes are not
    excluded, because a label need not be a gene.
    """
    own_R = np.sum(np.abs(predicted_RG - true_RG), axis=-1)
    ahead_R = np.zeros_like(own_R)
    for other_G in others_QG:
        other_R = np.sum(np.abs(predicted_RG - other_G), axis=-1)
        ahead_R += (other_R < own_R) + 0.5 * (other_R == own_R)
    if not len(others_QG):
        return np.full_like(own_R, np.nan)
    return np.asarray(1 - ahead_R / len(others_QG))


def _centred(x_RG: Array) -> Array:
    """Rows minus their mean; exactly 0 for constant rows."""
    centred_RG = x_RG - x_RG.mean(axis=-1, keepdims=True)
    size_R, error_R = (np.linalg.norm(rows, axis=-1, keepdims=True) for rows in (centred_RG, _CONSTANT * x_RG))
    return np.where(size_R > error_R, centred_RG, 0.0)


def coverage(
    predicted_RG: Array, half_width_G: Array, true_RG: Array, rank_RG: npt.NDArray[np.int64], top: int
) -> dict[str, Array]:
    """Shares of the genes, and of the `top` most DE ones, whose true change lies in its interval: `coverage` and
    `coverage_top<top>`."""
    inside_RG = np.abs(true_RG - predicted_RG) <= half_width_G
    share_R = np.asarray(inside_RG.mean(axis=-1))
    return {"coverage": share_R, f"coverage_top{top}": np.asarray(np.mean(inside_RG, axis=-1, where=rank_RG <= top))}


def _unit(x_RG: Array) -> Array:
    """Centred rows of unit length; zeros for constant rows."""
    centred_RG = _centred(x_RG)
    length_R = np.linalg.norm(centred_RG, axis=-1, keepdims=True)
    unit_RG: Array = np.divide(centred_RG, length_R, out=np.zeros_like(centred_RG), where=length_R > 0)
    return unit_RG


def _pick(x_RG: Array, order_RG: npt.NDArray[np.int64]) -> Array:
    """The values at these indices of each row; a single row is broadcast."""
    rows = np.broadcast_shapes(x_RG.shape[:-1], order_RG.shape[:-1])
    picked: Array = np.take_along_axis(
        np.broadcast_to(x_RG, (*rows, x_RG.shape[-1])), np.broadcast_to(order_RG, (*rows, order_RG.shape[-1])), axis=-1
    )
    return picked
