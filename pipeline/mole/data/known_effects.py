"""What known columns, such as a holiday or a price, add to each channel: linear effects, fitted to train rows.

They are taken out of every row before anything else sees it, as a level is, and added to a forecast again; so every
forecaster has them alike. T: rows, C: channels, K: known columns, P: penalties.

Sources: Hyndman and Athanasopoulos, "Forecasting: principles and practice" (3rd edition), chapter 10, for regression
with autocorrelated errors, on differences; Cochrane and Orcutt, "Application of least squares regression to
relationships containing auto-correlated error terms" (1949); Golub, Heath and Wahba, "Generalized cross-validation as a
method for choosing a good ridge parameter" (1979).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

PENALTIES = (0.0, *(10 ** (power / 2) for power in range(-8, 5)), inf)  # over the mean eigenvalue; inf: no effect
_PENALTY_P1 = np.array(PENALTIES)[:, None]
NOISE = 1e-8  # differences of a column below so much of its deviation are rounding, and a squared one of an eigenvalue


@dataclass(frozen=True)
class KnownEffects:
    """Of columns that are the same for all channels, or have values for each."""

    columns: tuple[str, ...]
    mean_CK: Floats  # over the train rows, from which effects are counted; C is 1 where all channels share the columns
    coefficient_CK: Floats  # deviations of a channel for one unit of a column

    def of(self, known_TCK: Floats) -> Floats:
        """(T, C), in deviations."""
        beside_TCK = np.broadcast_to(known_TCK - self.mean_CK, (len(known_TCK), *self.coefficient_CK.shape))
        effect_TC: Floats = np.einsum("tck,ck->tc", beside_TCK, self.coefficient_CK)
        return effect_TC

    def described(self) -> dict[str, Any]:
        """For a file; `KnownEffects.restored(described)` is the same again."""
        return {
            "columns": list(self.columns),
            "mean": self.mean_CK.tolist(),
            "coefficient": self.coefficient_CK.tolist(),
        }

    @classmethod
    def restored(cls, described: Mapping[str, Any]) -> Self:
        """Those that `described` came from."""
        mean_CK, coefficient_CK = (np.array(described[name], np.float64) for name in ("mean", "coefficient"))
        return cls(tuple(described["columns"]), mean_CK, coefficient_CK)


def fit_effects(columns: tuple[str, ...], scaled_TC: Floats, known_TCK: Floats, lag: int) -> KnownEffects:
    """Ridge regression of differences over `lag` rows, of which level, season and trend are no part."""
    mean_CK, deviation_CK = known_TCK.mean(0), known_TCK.std(0)
    deviation_CK = np.where(deviation_CK > 0, deviation_CK, 1)
    x_CKT = np.ascontiguousarray(((known_TCK - mean_CK) / deviation_CK).transpose(1, 2, 0))
    change_CKT = np.broadcast_to(x_CKT[..., lag:] - x_CKT[..., :-lag], (scaled_TC.shape[1], *x_CKT[0, :, lag:].shape))
    y_CT = np.ascontiguousarray(scaled_TC.T)
    found = [_fitted(x_KT, y_T[lag:] - y_T[:-lag]) for x_KT, y_T in zip(change_CKT, y_CT, strict=True)]
    return KnownEffects(columns, mean_CK, np.array(found) / deviation_CK)


def _fitted(x_KT: Floats, y_T: Floats) -> Floats:
    """(K,): of one channel. The errors of successive rows are correlated: their autocorrelation, by a first fit, is
    taken out of both sides for the second one (Cochrane and Orcutt)."""
    rest_T = y_T - _shrunk(x_KT, y_T) @ x_KT
    rest_T -= rest_T.mean()
    square = float(rest_T @ rest_T)
    correlation = float(rest_T[1:] @ rest_T[:-1]) / square if square else 0.0
    return _shrunk(x_KT[:, 1:] - correlation * x_KT[:, :-1], y_T[1:] - correlation * y_T[:-1])


def _shrunk(x_KT: Floats, y_T: Floats) -> Floats:
    """(K,): the ridge coefficients of centred columns, over their deviations, whose penalty has the least
    T RSS / (T - tr A)², generalised cross-validation, with A the map from y to its fit; 0 of too few rows."""
    columns, rows = x_KT.shape
    if rows < columns + 2:
        return np.zeros(columns)
    x_KT, y_T = x_KT - x_KT.mean(1, keepdims=True), y_T - y_T.mean()
    gram_KK = x_KT @ x_KT.T
    deviation_K = np.sqrt(gram_KK.diagonal() / rows)
    size_K = np.where(deviation_K > NOISE, deviation_K, inf)
    eigenvalue_K, basis_KK = np.linalg.eigh(gram_KK / np.outer(size_K, size_K))
    varies_K = eigenvalue_K > NOISE**2 * eigenvalue_K[-1]
    if not varies_K.any():
        return np.zeros(columns)
    along_K, eigenvalue_K = (x_KT @ y_T / size_K) @ basis_KK, np.where(varies_K, eigenvalue_K, 1)
    mean = (eigenvalue_K * varies_K).sum() / columns
    shrinkage_PK = varies_K * eigenvalue_K / (eigenvalue_K + _PENALTY_P1 * mean)
    explained_P = ((2 - shrinkage_PK) * shrinkage_PK * along_K**2 / eigenvalue_K).sum(1)
    error_P = (y_T @ y_T - explained_P).clip(min=0) / (rows - shrinkage_PK.sum(1)) ** 2
    coefficient_K: Floats = basis_KK @ (shrinkage_PK[error_P.argmin()] * along_K / eigenvalue_K) / size_K
    return coefficient_K
