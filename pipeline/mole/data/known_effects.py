"""What known columns, such as a holiday or a price, add to each channel: linear effects, fitted to train rows.

They are taken out of every row before anything else sees it, as a level is, and added to a forecast again; so every
forecaster has them alike. T: rows, C: channels, K: known columns, P: penalties.

Sources: Hyndman and Athanasopoulos, "Forecasting: principles and practice" (3rd edition), chapter 10, for regression
with errors that hang together, on differences; Cochrane and Orcutt, "Application of least squares regression to
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
    """Ridge regression of differences over `lag` rows, of which level, season and trend are no part.

    What is left of one row hangs together with that of the row before: its autocorrelation, from a first fit, is taken
    out of both sides for the second one (Cochrane and Orcutt). Each channel has a penalty of its own.
    """
    mean_CK, deviation_CK = known_TCK.mean(0), known_TCK.std(0)
    deviation_CK = np.where(deviation_CK > 0, deviation_CK, 1)
    y_TC, x_TCK = (part[lag:] - part[:-lag] for part in (scaled_TC, (known_TCK - mean_CK) / deviation_CK))
    x_TCK = np.broadcast_to(x_TCK, (*y_TC.shape, len(columns)))
    rest_TC = y_TC - np.einsum("tck,ck->tc", x_TCK, _shrunk(x_TCK, y_TC))
    rest_TC -= rest_TC.mean(0)
    square_C = np.square(rest_TC).sum(0)
    correlation_C = np.divide((rest_TC[1:] * rest_TC[:-1]).sum(0), square_C, out=0 * square_C, where=square_C > 0)
    y_TC = y_TC[1:] - correlation_C * y_TC[:-1]
    x_TCK = x_TCK[1:] - correlation_C[:, None] * x_TCK[:-1]
    return KnownEffects(columns, mean_CK, _shrunk(x_TCK, y_TC) / deviation_CK)


def _shrunk(x_TCK: Floats, y_TC: Floats) -> Floats:
    """(C, K): of each channel the ridge coefficients of its centred columns, over their deviations, whose penalty has
    the least T RSS / (T - tr A)², generalised cross-validation, with A the map from y to its fit; 0 of too few rows."""
    rows, _, columns = x_TCK.shape
    if rows < columns + 2:
        return np.zeros(x_TCK.shape[1:])
    deviation_CK = x_TCK.std(0)
    size_CK = np.where(deviation_CK > NOISE, deviation_CK, inf)
    x_CTK, y_CT = ((x_TCK - x_TCK.mean(0)) / size_CK).transpose(1, 0, 2), (y_TC - y_TC.mean(0)).T
    eigenvalue_CK, basis_CKK = np.linalg.eigh(x_CTK.mT @ x_CTK)
    along_CK = ((y_CT[:, None] @ x_CTK) @ basis_CKK)[:, 0]
    varies_CK = eigenvalue_CK > NOISE**2 * eigenvalue_CK[:, -1:]
    eigenvalue_CK = np.where(varies_CK, eigenvalue_CK, 1)
    mean_C1 = (x_CTK**2).sum((1, 2))[:, None] / columns
    penalty_PC1 = np.multiply.outer(PENALTIES, np.where(mean_C1 > 0, mean_C1, 1))
    shrinkage_PCK = varies_CK * eigenvalue_CK / (eigenvalue_CK + penalty_PC1)
    explained_PC = ((2 - shrinkage_PCK) * shrinkage_PCK * along_CK**2 / eigenvalue_CK).sum(2)
    error_PC = ((y_CT**2).sum(1) - explained_PC).clip(min=0) / (rows - shrinkage_PCK.sum(2)) ** 2
    best_CK = shrinkage_PCK[error_PC.argmin(0), np.arange(len(y_CT))]
    coefficient_CK: Floats = (basis_CKK @ (best_CK * along_CK / eigenvalue_CK)[..., None])[..., 0] / size_CK
    return coefficient_CK
