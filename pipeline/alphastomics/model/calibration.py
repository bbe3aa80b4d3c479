"""How far a cell's true place may be from its estimate: a scale for each cell, and regions that cover as they say.

The scale of a cell's error is a log-linear function of what is known of the cell, and the regions are balls around the
estimate whose radius is the scale times a quantile of the errors over their scales: split conformal prediction with
normalised scores (Papadopoulos et al., "Normalized nonconformity measures for regression conformal prediction", 2008;
Lei et al., "Distribution-free predictive inference for regression", JASA 113, 2018), the scores cross-fitted (Vovk,
"Cross-conformal predictors", 2015). It holds for new cells as far as their errors are distributed like those of the
cells it was fitted on, which were not trained on; another section may differ from these.

N: cells asked about, M: cells fitted on, F: features, L: levels, S: spatial dimensions, K: estimates of a place.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pipeline.nn.ridge import Linear, choose_penalty, fit_ridge

Array = npt.NDArray[np.float64]

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
SHOWN_LEVEL = 0.9  # of the region that is written for each cell
_FOLDS = 5
_ROUNDING = 1e-6  # of draws in single precision
_LEAST = 1e-3  # of a distance, relative to the root mean square of all: its logarithm is taken


@dataclass(frozen=True)
class Calibration:
    """Made by `fit`."""

    scale: Linear  # from features to the logarithm of a cell's scale
    lowest: float  # the range of that logarithm among the cells it was fitted on: it is not extrapolated
    highest: float
    score_L: Array  # what the error over the scale is at most, with the probability of each level
    root_mean_square: float  # of the error over the scale

    @classmethod
    def fit(cls, features_MF: Array, distance_M: Array) -> Self:
        """distance_M: of true places from their estimates. ValueError for no cell or a value that is not finite."""
        if not len(distance_M) or not (np.isfinite(features_MF).all() and np.isfinite(distance_M).all()):
            raise ValueError("a calibration needs cells with finite features and distances")
        usual = float(np.sqrt(np.mean(distance_M**2))) or 1.0
        log_M = np.log(np.maximum(distance_M, _LEAST * usual))
        fold_M = np.random.default_rng(0).permutation(len(distance_M)) % _FOLDS
        scored_M = np.empty(len(distance_M))
        for fold in np.unique(fold_M):
            out_M = fold_M == fold
            kept_M = ~out_M if len(np.unique(fold_M)) > 1 else out_M
            found = _log_linear(features_MF[kept_M], log_M[kept_M])
            scored_M[out_M] = distance_M[out_M] / np.exp(_within(found, features_MF[out_M], features_MF[kept_M]))
        scale = _log_linear(features_MF, log_M)
        fitted_M = scale(features_MF)[:, 0]
        score_L = np.array([conformal_quantile(scored_M, level) for level in LEVELS])
        spread = float(np.sqrt(np.mean(scored_M**2)))
        return cls(scale, float(fitted_M.min()), float(fitted_M.max()), score_L, spread)

    @classmethod
    def from_description(cls, described: dict[str, Any]) -> Self:
        """The inverse of `described`."""
        scale = Linear(
            np.array(described["mean"]), np.array(described["weights"])[:, None], np.array([described["centre"]])
        )
        score_L = np.array(described["scores"])
        return cls(scale, described["lowest"], described["highest"], score_L, described["root_mean_square"])

    def described(self) -> dict[str, Any]:
        """As plain JSON, for a model's configuration."""
        return {
            "mean": self.scale.mean_F.tolist(),
            "weights": self.scale.weights_FG[:, 0].tolist(),
            "centre": float(self.scale.centre_G[0]),
            "lowest": self.lowest,
            "highest": self.highest,
            "scores": self.score_L.tolist(),
            "root_mean_square": self.root_mean_square,
        }

    def spread(self, features_NF: Array) -> Array:
        """The expected distance (root mean square) of each cell's true place from its estimate, (N,)."""
        return self._scale(features_NF) * self.root_mean_square

    def radius(self, features_NF: Array) -> Array:
        """Of the ball around the estimate that holds a cell's true place with each of `LEVELS`, (N, L)."""
        radius_NL: Array = self._scale(features_NF)[:, None] * self.score_L
        return radius_NL

    def _scale(self, features_NF: Array) -> Array:
        scale_N: Array = np.exp(np.clip(self.scale(features_NF)[:, 0], self.lowest, self.highest))
        return scale_N


def conformal_quantile(score_M: Array, level: float) -> float:
    """The ceil((M + 1) · level)-th smallest score, which one more such score does not exceed with a probability of at
    least `level`; the largest where there are too few."""
    rank = int(np.ceil((len(score_M) + 1) * level - 1e-9))
    return float(np.sort(score_M)[min(rank, len(score_M)) - 1])


def place_features(
    estimate_NS: npt.NDArray[np.floating],
    near_NKS: npt.NDArray[np.floating] | None = None,
    scatter_N: npt.NDArray[np.floating] | None = None,
) -> Array:
    """What the scale of a cell's error depends on, (N, F): how far out it is placed; and where measured cells are
    looked at, how scattered those of similar expression are, and how far other estimates (K of them) are from this one
    and from each other. Without a frame, estimates are centred, so that turning the tissue changes nothing."""
    estimate_NS = np.asarray(estimate_NS, np.float64)
    outward_N = np.linalg.norm(estimate_NS, axis=1)
    features = [outward_N, outward_N**2]
    if near_NKS is not None and scatter_N is not None:
        first_NS, last_NS = (np.asarray(near_NKS[:, at], np.float64) for at in (0, -1))
        features += [
            np.log(np.maximum(scatter_N, np.finfo(np.float32).tiny)),
            np.linalg.norm(estimate_NS - first_NS, axis=1),
            np.linalg.norm(first_NS - last_NS, axis=1),
        ]
    return np.stack(features, axis=1)


def spread_as_expected(estimate_NS: Array, draws_RNS: Array, spread_N: Array) -> Array:
    """Draws around the estimate with the deviations of these from their mean, so enlarged that their root mean square
    over the section is 1, and then by each cell's spread, (R, N, S).

    The network's draws differ by too little, but in directions that go together: near cells keep together. Two or more.
    """
    deviation_RNS = draws_RNS - draws_RNS.mean(axis=0)
    draws = len(draws_RNS)
    size = float(np.sqrt((deviation_RNS**2).sum(axis=2).mean() * draws / (draws - 1)))
    rounding = _ROUNDING * float(np.abs(draws_RNS).max())
    factor_N = spread_N / size if size > rounding else np.zeros_like(spread_N)
    spread_RNS: Array = estimate_NS + deviation_RNS * factor_N[:, None]
    return spread_RNS


def _log_linear(features_MF: Array, log_M: Array) -> Linear:
    """Ridge regression on standardised features, its penalty chosen over random folds of the cells."""
    cells = len(log_M)
    deviation_F = features_MF.std(axis=0)
    deviation_F = np.where(deviation_F > 0, deviation_F, 1.0) * np.sqrt(cells)  # the penalty is per cell
    fold_M = np.random.default_rng(1).permutation(cells) % _FOLDS
    x_MF, y_M1 = features_MF / deviation_F, log_M[:, None]
    fitted = fit_ridge(x_MF, y_M1, choose_penalty(x_MF, y_M1, fold_M))
    return Linear(features_MF.mean(axis=0), fitted.weights_FG / deviation_F[:, None], fitted.centre_G)


def _within(scale: Linear, asked_NF: Array, fitted_MF: Array) -> Array:
    """The logarithm of the scale, (N,), no lower and no higher than among the cells that were fitted."""
    fitted_M = scale(fitted_MF)[:, 0]
    log_N: Array = np.clip(scale(asked_NF)[:, 0], fitted_M.min(), fitted_M.max())
    return log_N
