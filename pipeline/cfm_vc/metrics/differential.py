"""Differentially expressed (DE) genes of a response, and how well a prediction recovers them.

G: genes; R: rows of resamples, or one (see `metrics.bootstrap`); all functions work on the last axis and
broadcast the others. A change is a mean minus the mean of the cell type's controls.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr
from scipy.stats import false_discovery_control

from pipeline.cfm_vc.data.groups import Moments

Array = npt.NDArray[np.float64]
Ranks = npt.NDArray[np.int64]

FALSE_DISCOVERY_RATE = 0.05


def welch_t(treated: Moments, control: Moments) -> Array:
    """Welch's t per gene, (mean_1 − mean_2) / sqrt(s²_1 / n_1 + s²_2 / n_2).

    With zero variance: 0 if the means agree, otherwise infinite with the sign of the difference.
    Source: Welch (1947, Biometrika 34); the test behind scanpy's `rank_genes_groups(method="t-test")`.
    """
    difference_RG = treated.mean_G - control.mean_G
    error_RG = np.sqrt(treated.noise_G + control.noise_G)
    certain_RG = np.where(difference_RG == 0, 0.0, np.copysign(np.inf, difference_RG))
    return np.divide(difference_RG, error_RG, out=certain_RG, where=error_RG > 0)


def welch_p(treated: Moments, control: Moments) -> Array:
    """Two-sided p-value per gene of Welch's t, with the degrees of freedom of Welch and Satterthwaite.

    With zero variance: 1 if the means agree, otherwise 0. Both sides need at least two cells.
    """
    t_RG = welch_t(treated, control)
    part_1, part_2 = treated.noise_G, control.noise_G
    spread_RG = part_1**2 / (treated.cells - 1) + part_2**2 / (control.cells - 1)
    freedom_RG = np.divide((part_1 + part_2) ** 2, spread_RG, out=np.ones_like(t_RG), where=spread_RG > 0)
    return np.asarray(2 * stdtr(freedom_RG, -np.abs(t_RG)))


def de_genes(treated: Moments, control: Moments) -> npt.NDArray[np.bool_]:
    """DE genes at a false discovery rate of 5 %: Welch's test, corrected for multiple testing.

    Correction: Benjamini and Hochberg (1995, J. R. Stat. Soc. B 57).
    """
    corrected_RG = false_discovery_control(welch_p(treated, control), axis=-1, method="bh")
    return np.asarray(corrected_RG <= FALSE_DISCOVERY_RATE)


def rank_of(score_RG: Array) -> Ranks:
    """Rank per gene by |score|: 1 is the largest. Ties (and infinities) keep the order of the genes."""
    order_RG = np.argsort(-np.abs(score_RG), axis=-1, kind="stable")
    rank_RG = np.empty(order_RG.shape, dtype=np.int64)
    np.put_along_axis(rank_RG, order_RG, np.broadcast_to(np.arange(1, order_RG.shape[-1] + 1), order_RG.shape), axis=-1)
    return rank_RG


def de_rank(treated: Moments, control: Moments) -> Ranks:
    """Rank per gene by |Welch's t|, regardless of sign: 1 is the most differentially expressed."""
    return rank_of(welch_t(treated, control))


def de_overlap(predicted_RG: Array, true_RG: Array, top_genes: list[int]) -> dict[int, Array]:
    """Share of the n genes with the largest true change among the n with the largest predicted change, for every n,
    (R,).

    Both are ranked by |change|, for all methods. A test statistic would not do: a predicted mean has no sample size,
    hence no significance; and the standard errors of the true cells are 0 for genes not detected in them, which would
    rank the smallest prediction for such a gene first. A change of exactly 0 is never in the top, so "no effect" scores
    0; chance is n / G. NaN if nothing truly changes.
    """
    predicted_rank_RG, true_rank_RG = rank_of(predicted_RG), rank_of(true_RG)
    found = {}
    for top in top_genes:
        true_top_RG = (true_rank_RG <= top) & (true_RG != 0)
        predicted_top_RG = (predicted_rank_RG <= top) & (predicted_RG != 0)
        found[top] = _share(predicted_top_RG & true_top_RG, true_top_RG)
    return found


def de_direction(predicted_RG: Array, true_RG: Array, de_RG: npt.NDArray[np.bool_]) -> Array:
    """Share of the true DE genes, `de_RG`, whose predicted change has the sign of the true one, (R,).

    The DE genes come from `de_genes` rather than a fixed number, which would include noise where few genes respond. A
    predicted change of exactly 0 counts as wrong; chance is 0.5. NaN without DE genes.
    """
    return _share(de_RG & (predicted_RG * true_RG > 0), de_RG & np.ones_like(predicted_RG, dtype=np.bool_))


def _share(part_RG: npt.NDArray[np.bool_], whole_RG: npt.NDArray[np.bool_]) -> Array:
    part_R, whole_R = np.broadcast_arrays(part_RG.sum(axis=-1), whole_RG.sum(axis=-1))
    share_R: Array = np.divide(part_R, whole_R, out=np.full(part_R.shape, np.nan), where=whole_R > 0)
    return share_R
