"""How well a predicted mean change matches the true one.

G: genes; R: rows of resamples, or one (see `pipeline.metrics.bootstrap`); all functions work on the last axis and
broadcast the others. "Mean" is the mean over cells of log-normalised expression
(`pipeline.data.expression.log_normalise`); "change" is a mean minus the mean of the control cells of the same cell
type, for truth and prediction alike. DE genes are in `pipeline.cfm_vc.metrics.differential`, distances between whole
populations in `pipeline.cfm_vc.metrics.distances` and `pipeline.cfm_vc.metrics.wasserstein`.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_CONSTANT = 1e-12  # of its size: what rounding leaves of a constant's deviation from its mean


def pearson(x_RG: Array, y_RG: Array) -> Array:
    """Pearson correlation over genes; 0 where either side is constant, since a constant says nothing about the other.

    So the prediction "no change" scores 0.
    """
    x_RG, y_RG = _unit(x_RG), _unit(y_RG)
    return np.asarray(np.clip(np.sum(x_RG * y_RG, axis=-1), -1, 1))


def pearson_top(predicted_RG: Array, true_RG: Array, rank_RG: npt.NDArray[np.int64], top: int) -> Array:
    """Pearson correlation over the genes with `rank_RG` <= top (all genes where there are fewer)."""
    order_RG = np.argsort(rank_RG, axis=-1, kind="stable")[..., :top]
    return pearson(_pick(predicted_RG, order_RG), _pick(true_RG, order_RG))


def mse(predicted_RG: Array, true_RG: Array) -> Array:
    """Mean over genes of the squared error of means; the same for changes, whose control cancels."""
    return np.asarray(np.mean((predicted_RG - true_RG) ** 2, axis=-1))


def mae(predicted_RG: Array, true_RG: Array) -> Array:
    """Mean over genes of the absolute error of means."""
    return np.asarray(np.mean(np.abs(predicted_RG - true_RG), axis=-1))


def discrimination(predicted_RG: Array, true_RG: Array, others_QG: Array) -> Array:
    """Perturbation discrimination score: is the predicted change nearer to the true one than to other perturbations'?

    others_QG: the true changes of all other perturbations known in the same cell type, held out or trained on. With r
    the number of those nearer to the prediction than the perturbation's own true change, ties by half:
    1 − r / Q, so 1 is best, 0.5 chance and 0 worst. NaN without any other perturbation.

    Distance: L1 over all genes, as in the Virtual Cell Challenge (Roohani et al. 2025, Cell 188), where Q + 1 divides;
    that of changes is that of means, since the control is the same. Unlike there a perturbation's target genes are
    not left out, because a label need not name a gene.
    """
    own_R = np.sum(np.abs(predicted_RG - true_RG), axis=-1)
    ahead_R = np.zeros_like(own_R)
    for other_G in others_QG:
        other_R = np.sum(np.abs(predicted_RG - other_G), axis=-1)
        ahead_R += (other_R < own_R) + 0.5 * (other_R == own_R)
    if not len(others_QG):
        return np.full_like(own_R, np.nan)
    return np.asarray(1 - ahead_R / len(others_QG))


def _unit(x_RG: Array) -> Array:
    """Centred rows of length 1; rows of zeros where they are constant."""
    centred_RG = x_RG - x_RG.mean(axis=-1, keepdims=True)
    length_R = np.linalg.norm(centred_RG, axis=-1, keepdims=True)
    varies_R = length_R > _CONSTANT * np.linalg.norm(x_RG, axis=-1, keepdims=True)
    unit_RG: Array = np.divide(centred_RG, length_R, out=np.zeros_like(centred_RG), where=varies_R)
    return unit_RG


def _pick(x_RG: Array, order_RG: npt.NDArray[np.int64]) -> Array:
    """The values at these places of each row; a single row serves all."""
    rows = np.broadcast_shapes(x_RG.shape[:-1], order_RG.shape[:-1])
    picked: Array = np.take_along_axis(
        np.broadcast_to(x_RG, (*rows, x_RG.shape[-1])), np.broadcast_to(order_RG, (*rows, order_RG.shape[-1])), axis=-1
    )
    return picked
