"""How far a predicted change of mean expression may be off, gene by gene.

K: training groups that can be predicted from other contexts; G: genes.

The closed-form prior misses each training context, predicted from the others, by an error that is known. Part of it is
the noise of the two measured means, by the sampling of cells, whose variance is known as well; the rest is the
prediction's. A gene is expected to be missed by as much as it was there, averaged with the genes of like expression,
which are more, and by less where the process expects so, since the context resembles others: a standard error per gene.
How many of these an interval needs is the quantile of the errors that left-out contexts have in units of standard
errors from the other contexts, noise included (cross-conformal prediction: Vovk, 2015, of errors scaled by their
expected size: Papadopoulos et al., 2011). Genes without a count in either mean say nothing there. An interval is one
for the true treated mean less the measured mean of the controls or, with the noise of a measured treated mean, for
that: the mean of few cells lies further off than that of many.

Two limits. Where contexts hardly differ, the prior takes the noise of the controls out again, and intervals are wider
than they need be. Where groups are so small that noise is most of the error, little is known of the rest: those of the
true mean then cover too little (0.7 of genes in a simulation with 20 cells in each group), those of measured means do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from pipeline.cfm_vc.data.groups import Group
from pipeline.cfm_vc.model.response_prior import ResponsePrior

COVERAGE = 0.9
LEVELS = 20  # of expression; genes of one are expected to be missed alike

Array = npt.NDArray[np.float64]
_TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class Interval:
    """Of a predicted change: so many standard errors, whose squares are `variance_G`, to both sides."""

    times: float
    variance_G: Array

    def half_width_G(self, noise_G: Array | float = 0.0) -> Array:
        """Of the interval of the true mean or, with the variance of a measured one by its cells, of that."""
        return np.asarray(self.times * np.sqrt(self.variance_G + noise_G))


class Intervals:
    """Intervals that should cover the change of `COVERAGE` of the genes; made by `of`."""

    def __init__(
        self, error_KG: Array, noise_KG: Array, level_KG: Array, expected_K: Array, context_K: npt.NDArray[np.int64]
    ) -> None:
        """error_KG: of the change where the context is left out; noise_KG: its variance by the cells of both means;
        level_KG: see `_level`; expected_K: the variance that the process expects, above 0, in any unit.

        ValueError for a single context.
        """
        contexts = np.unique(context_K)
        if len(contexts) < 2:
            raise ValueError("intervals need two contexts: one alone says nothing about another")
        self._excess_KG, self._level_KG = (error_KG**2 - noise_KG) / expected_K[:, None], level_KG
        self._usual = float(expected_K.mean())
        ratios = []
        for context in contexts:
            rest_K = context_K != context
            for place in np.flatnonzero(~rest_K):
                own_G = expected_K[place] * _variance(self._excess_KG[rest_K], level_KG[rest_K], level_KG[place])
                variance_G = own_G + noise_KG[place]
                told_G = (variance_G > 0) | (error_KG[place] != 0)
                ratios.append(np.abs(error_KG[place, told_G]) / np.sqrt(np.maximum(variance_G[told_G], _TINY)))
        self._times = float(np.quantile(np.concatenate(ratios), COVERAGE))

    @classmethod
    def of(
        cls,
        prior: ResponsePrior,
        means: Mapping[Group, Array],
        noise: Mapping[Group, Array],
        control: int,
        like: int | None = None,
    ) -> Self | None:
        """From the means of training groups, which the prior was fitted to, and the variances of these means by the
        sampling of cells; for predictions in the context `like` (None: one where nothing was measured). None where
        fewer than two contexts can be left out."""
        own = prior.context_response
        left_out, variances = own.like(like), prior.left_out_variances()
        if len({cell_type for cell_type, _ in left_out}) < 2:
            return None
        controls_KG = np.stack([means[cell_type, control] for cell_type, _ in left_out])
        change_KG = np.stack(list(left_out.values()))
        error_KG = np.stack([means[group] for group in left_out]) - controls_KG - change_KG
        noise_KG = np.stack([own.sampling_noise(group, noise, control, like) for group in left_out])
        expected_K = np.array([variances[group] for group in left_out])
        context_K = np.array([cell_type for cell_type, _ in left_out])
        return cls(error_KG, noise_KG, _level(controls_KG, change_KG), expected_K, context_K)

    def around(
        self, control_G: Array, change_G: Array, noise_G: Array | float = 0.0, expected: float | None = None
    ) -> Interval:
        """The interval of a predicted change in a context with this control mean, of whose variance by its cells
        `noise_G` is left in the change's error; expected: the variance that the process expects there (None: as in
        training, on average)."""
        own_G = _variance(self._excess_KG, self._level_KG, _level(control_G, change_G))
        return Interval(self._times, (self._usual if expected is None else expected) * own_G + noise_G)


def _level(control_G: Array, change_G: Array) -> Array:
    """How much there is to be wrong about: the predicted expression and the size of its change."""
    return np.asarray(np.maximum(control_G + change_G, 0) + np.abs(change_G))


def _variance(excess_KG: Array, level_KG: Array, level_G: Array) -> Array:
    """The prediction's own: mean of the gene's and of that of genes of its level. The means of squared errors less
    their noise; where that is below 0, by chance, 0."""
    bounds = np.quantile(level_KG, np.linspace(0, 1, LEVELS + 1)[1:-1])
    of_entry = np.searchsorted(bounds, level_KG.reshape(-1))
    counts = np.bincount(of_entry, minlength=LEVELS)
    totals = np.bincount(of_entry, excess_KG.reshape(-1), minlength=LEVELS)
    # Ties can leave a level without genes: that of all then.
    of_level = np.where(counts > 0, totals / np.maximum(counts, 1), excess_KG.mean())
    own_G, like_G = excess_KG.mean(axis=0), of_level[np.searchsorted(bounds, level_G)]
    return np.asarray((np.maximum(own_G, 0) + np.maximum(like_G, 0)) / 2)
