"""Ridge regression in closed form, with the penalty chosen by leaving out one fold at a time.

R: rows; F: features; G: targets. Source: Hoerl and Kennard (1970, Technometrics 12).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

PENALTIES = tuple(10.0**power for power in range(3, -4, -1))  # strongest first, which wins ties


class Linear(NamedTuple):
    """The map x -> centre_G + (x − mean_F) · weights_FG."""

    mean_F: Array
    weights_FG: Array
    centre_G: Array

    def __call__(self, x_F: Array) -> Array:
        """Predicted targets (G,) of one row, or (R, G) of rows."""
        predicted: Array = self.centre_G + (x_F - self.mean_F) @ self.weights_FG
        return predicted


def fit_ridge(x_RF: Array, y_RG: Array, penalty: float) -> Linear:
    """Minimises Σ|y − centre − (x − mean) · w|² + penalty · |w|²; the intercept is not penalised."""
    return _ridges(x_RF, y_RG, (penalty,))[0]


def choose_penalty(x_RF: Array, y_RG: Array, fold_R: npt.NDArray[np.int64]) -> float:
    """The penalty of `PENALTIES` with the smallest squared error over the folds, each predicted from all the others.

    The strongest where there is only one fold, and so nothing to compare.
    """
    errors = np.zeros(len(PENALTIES))
    folds = np.unique(fold_R)
    for fold in folds if len(folds) > 1 else []:
        out_R = fold_R == fold
        for place, fitted in enumerate(_ridges(x_RF[~out_R], y_RG[~out_R], PENALTIES)):
            errors[place] += float(np.sum((fitted(x_RF[out_R]) - y_RG[out_R]) ** 2))
    return PENALTIES[int(errors.argmin())]


def _ridges(x_RF: Array, y_RG: Array, penalties: tuple[float, ...]) -> list[Linear]:
    """A fit per penalty, from one eigendecomposition on the smaller side: of X Xᵀ or of Xᵀ X."""
    mean_F, centre_G = x_RF.mean(axis=0), y_RG.mean(axis=0)
    x_RF, y_RG = x_RF - mean_F, y_RG - centre_G
    if x_RF.shape[0] < x_RF.shape[1]:
        values_R, vectors_RR = np.linalg.eigh(x_RF @ x_RF.T)
        left_FR, right_RG = x_RF.T @ vectors_RR, vectors_RR.T @ y_RG
    else:
        values_R, vectors_RR = np.linalg.eigh(x_RF.T @ x_RF)
        left_FR, right_RG = vectors_RR, vectors_RR.T @ (x_RF.T @ y_RG)
    # Rounding can leave an eigenvalue slightly below 0.
    scale_R = np.maximum(values_R, 0)[:, None]
    return [Linear(mean_F, left_FR @ (right_RG / (scale_R + penalty)), centre_G) for penalty in penalties]
