"""How far a predicted change of mean expression may be off, gene by gene.

K: training groups that can be predicted from other contexts; G: genes.

The closed-form prior misses each training context, predicted from the others, by an error that is known. A gene is
expected to be missed by as much as it was there, averaged with the genes of like expression, which are more: a
standard error per gene. How many of these an interval needs is the quantile of the errors that left-out contexts have
in units of standard errors from the other contexts (cross-conformal prediction: Vovk, 2015). The measured mean of a
group is noisy itself; the errors hold that noise, so an interval is one for the mean of as many cells as groups have.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np
import numpy.typing as npt

from pipeline.cfm_vc.model.response_prior import ResponsePrior
from pipeline.data.groups import Group

COVERAGE = 0.9
LEVELS = 20  # of expression; genes of one are expected to be missed alike

Array = npt.NDArray[np.float64]


class Intervals:
    """Half widths of intervals that should cover the measured change of `COVERAGE` of the genes; made by `of`."""

    def __init__(self, error_KG: Array, level_KG: Array, context_K: npt.NDArray[np.int64]) -> None:
        """error_KG: of the change where the context is left out; level_KG: see `_level`.

        ValueError for a single context.
        """
        contexts = np.unique(context_K)
        if len(contexts) < 2:
            raise ValueError("intervals need two contexts: one alone says nothing about another")
        self._error_KG, self._level_KG = error_KG, level_KG
        ratios = []
        for context in contexts:
            rest = context_K != context
            for error_G, level_G in zip(error_KG[~rest], level_KG[~rest], strict=True):
                ratios.append(np.abs(error_G) / _standard_error(error_KG[rest], level_KG[rest], level_G))
        self._times = float(np.quantile(np.concatenate(ratios), COVERAGE))

    @classmethod
    def of(cls, prior: ResponsePrior, means: Mapping[Group, Array], control: int) -> Self | None:
        """From the means of training groups, which the prior was fitted to; None where fewer than two contexts can be
        left out."""
        expected = prior.left_out()
        if len({cell_type for cell_type, _ in expected}) < 2:
            return None
        controls_KG = np.stack([means[cell_type, control] for cell_type, _ in expected])
        expected_KG = np.stack(list(expected.values()))
        error_KG = np.stack([means[group] for group in expected]) - controls_KG - expected_KG
        return cls(error_KG, _level(controls_KG, expected_KG), np.array([cell_type for cell_type, _ in expected]))

    def half_width(self, control_G: Array, change_G: Array) -> Array:
        """Of the interval around a predicted change in a context with this control mean, (G,)."""
        level_G = _level(control_G, change_G)
        return np.asarray(self._times * _standard_error(self._error_KG, self._level_KG, level_G))


def _level(control_G: Array, change_G: Array) -> Array:
    """How much there is to be wrong about: the predicted expression and the size of its change."""
    return np.asarray(np.maximum(control_G + change_G, 0) + np.abs(change_G))


def _standard_error(error_KG: Array, level_KG: Array, level_G: Array) -> Array:
    """Root of the mean of two variances: the gene's own, and that of genes of its level."""
    square_KG = error_KG**2
    bounds = np.quantile(level_KG, np.linspace(0, 1, LEVELS + 1)[1:-1])
    of_entry = np.searchsorted(bounds, level_KG.reshape(-1))
    counts = np.bincount(of_entry, minlength=LEVELS)
    totals = np.bincount(of_entry, square_KG.reshape(-1), minlength=LEVELS)
    # Ties can leave a level without genes: that of all then.
    of_level = np.where(counts > 0, totals / np.maximum(counts, 1), square_KG.mean())
    variance_G = (square_KG.mean(axis=0) + of_level[np.searchsorted(bounds, level_G)]) / 2
    return np.asarray(np.sqrt(np.maximum(variance_G, np.finfo(np.float64).tiny)))
