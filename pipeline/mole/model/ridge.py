"""Linear forecasts in closed form: ridge regression of the horizon on the lookback, one map for all channels.

L: rows of the lookback, H: rows of the horizon, P: penalties.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.mole.data.ridge_choice import Offset
from pipeline.mole.data.windows import Windows
from pipeline.mole.model.window_moments import WindowMoments, offset_weights, window_moments

EPSILON = torch.finfo(torch.float64).eps


class RidgePath:
    """The ridge maps of all penalties from one eigendecomposition.

    With X and Y the windows less their offset, X'X = Q diag(s) Q', and a penalty p relative to the mean of s, the map
    is B = Q diag(1 / (s + p mean(s))) Q' X'Y. At penalty 0 it is the least-squares map of least norm. There is no
    intercept. Sources: Hoerl and Kennard, "Ridge regression" (1970); Toner and Darlow, "An analysis of linear time
    series forecasting models" (2024).
    """

    def __init__(self, moments: WindowMoments, offset: Offset) -> None:
        self.offset = offset
        found = moments.without(offset)
        self._eigenvalue_L, self._basis_LL = torch.linalg.eigh(found.xx_LL)
        self._projected_LH = self._basis_LL.T @ found.xy_LH
        # An eigenvalue below this is rounding of the moments before their offset was subtracted.
        self._rounding = EPSILON * len(found.xx_LL) * float(moments.xx_LL.trace())

    def weights(self, penalty: float) -> Tensor:
        """(H, L): the map from windows as they are, offset included: a'x + B'(x − 1a'x) with a the offset's weights."""
        weight_HL: Tensor = (self._basis_LL @ (self._shrinkage(penalty)[:, None] * self._projected_LH)).T
        if self.offset == "none":
            return weight_HL
        return weight_HL + (1 - weight_HL.sum(1, keepdim=True)) * offset_weights(self.offset, weight_HL.shape[1])

    def errors(self, moments: WindowMoments, penalties: Sequence[float]) -> list[float]:
        """Mean squared errors (P) of the map of each penalty on the windows of which these are the moments.

        With V = Q' X'X Q and U = Q' X'Y of those windows, Z = Q' X'Y of the fitted ones and d = 1 / (s + p mean(s)),
        the sum of squares is d'(V ∘ ZZ')d − 2 d'diag(UZ') + ΣY²: O(L²) for each penalty.
        """
        found = moments.without(self.offset)
        quadratic_LL = self._basis_LL.T @ found.xx_LL @ self._basis_LL
        quadratic_LL *= self._projected_LH @ self._projected_LH.T
        linear_L = ((self._basis_LL.T @ found.xy_LH) * self._projected_LH).sum(1)
        shrinkages = [self._shrinkage(penalty) for penalty in penalties]
        squares = [float(d_L @ quadratic_LL @ d_L - 2 * d_L @ linear_L + found.yy_H.sum()) for d_L in shrinkages]
        least = EPSILON * float(moments.yy_H.sum())  # a smaller sum is rounding, and may be negative
        return [max(square, least) / (found.pairs * len(found.yy_H)) for square in squares]

    def _shrinkage(self, penalty: float) -> Tensor:
        """(L,): 1 / (s + p mean(s)), and 0 for directions in which the windows do not vary."""
        eigenvalue_L = self._eigenvalue_L.clamp(min=0)
        shrinkage_L: Tensor = 1 / (eigenvalue_L + penalty * eigenvalue_L.mean())
        return shrinkage_L.where(eigenvalue_L > self._rounding, 0)


def least_squares(train: Windows) -> Tensor:
    """(H, L): the linear map of least squared error from the lookback to the horizon, and of least norm where the
    windows leave it open. Rows sum to 1: what is fitted is the map from x − last value to y − last value."""
    return RidgePath(moments_of(train), "last").weights(0.0)


def moments_of(windows: Windows) -> WindowMoments:
    """Of every window. ValueError where a value is not finite."""
    return window_moments(torch.from_numpy(windows.value_CT), windows.lookback, windows.horizon)
