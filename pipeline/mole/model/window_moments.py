"""Second moments of all windows of some rows, without materialising a window.

C: channels, T: rows, N: windows, L: rows of the lookback, H: rows of the horizon, K = L + H.
"""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from pipeline.mole.data.ridge_choice import Offset


class WindowMoments(NamedTuple):
    """Sums over windows and channels of products of lookback x and horizon y, in double precision."""

    xx_LL: Tensor
    xy_LH: Tensor
    yy_H: Tensor  # squares alone
    pairs: int  # windows x channels

    def without(self, offset: Offset) -> Self:
        """The moments after each window's offset, its last value or the mean of its lookback, is subtracted from x
        and y.

        The offset is a'x of a fixed vector a, so z − 1a'z has the moments M − 1(a'M) − (Ma)1' + (a'Ma)11'.
        """
        if offset == "none":
            return self
        a_L = offset_weights(offset, len(self.xx_LL))
        xa_L, ya_H = self.xx_LL @ a_L, a_L @ self.xy_LH
        aa = a_L @ xa_L
        xx_LL = self.xx_LL - xa_L[:, None] - xa_L + aa
        xy_LH = self.xy_LH - xa_L[:, None] - ya_H + aa
        if offset == "last":  # 0 but for rounding
            xx_LL[-1], xx_LL[:, -1], xy_LH[-1] = 0, 0, 0
        return type(self)(xx_LL, xy_LH, self.yy_H - 2 * ya_H + aa, self.pairs)


def offset_weights(offset: Offset, lookback: int) -> Tensor:
    """(L,): the offset of a window x is its product with these."""
    weight_L = torch.zeros(lookback, dtype=torch.float64)
    if offset == "last":
        weight_L[-1] = 1
    elif offset == "mean":
        weight_L[:] = 1 / lookback
    return weight_L


def window_moments(value_CT: Tensor, lookback: int, horizon: int) -> WindowMoments:
    """Of every window, one row apart. ValueError where there is none, or a value is not finite.

    The products of rows i and j of all windows are G_ij = Σ_n v_(n+i) v_(n+j), n < N. The first row of G is an
    autocorrelation; moving i and j on by one adds one product and drops another, G_(i+1,j+1) = G_ij + v_(N+i) v_(N+j) −
    v_i v_j. That takes O(K T log T + L K) operations where the product of materialised windows takes O(N L K).
    """
    value_CT = value_CT.to("cpu", torch.float64)
    width, windows = lookback + horizon, value_CT.shape[1] - lookback - horizon + 1
    if windows < 1:
        raise ValueError(f"{value_CT.shape[1]} rows are fewer than one window of {width}")
    if not torch.isfinite(value_CT).all():
        raise ValueError("a value is not finite")
    first_LK = value_CT[:, :lookback].T @ value_CT[:, : width - 1]
    after_LK = value_CT[:, windows : windows + lookback].T @ value_CT[:, windows:]
    change_LK = after_LK - first_LK
    product_LK = value_CT.new_empty(lookback, width)
    product_LK[0] = _lagged_products(value_CT, windows)
    for row in range(1, lookback):  # the upper triangle; what is below it is not filled
        torch.add(product_LK[row - 1, row - 1 : -1], change_LK[row - 1, row - 1 :], out=product_LK[row, row:])
    upper_LL = product_LK[:, :lookback].triu()
    square_T = torch.cat([value_CT.new_zeros(1), value_CT.square().sum(0).cumsum(0)])
    return WindowMoments(
        upper_LL + upper_LL.triu(1).T,
        product_LK[:, lookback:],
        square_T[windows + lookback :] - square_T[lookback : lookback + horizon],
        windows * len(value_CT),
    )


def _lagged_products(value_CT: Tensor, windows: int) -> Tensor:
    """(K,): Σ_n v_n v_(n+k) over channels and n < N, by the fast Fourier transform."""
    rows = value_CT.shape[1]
    size = 1 << (rows + windows - 1).bit_length()  # long enough that nothing wraps around
    spectrum_F = torch.zeros(size // 2 + 1, dtype=torch.complex128)
    for value_T in value_CT:  # one by one: a series of many channels takes no more memory
        spectrum_F += torch.fft.rfft(value_T[:windows], size).conj() * torch.fft.rfft(value_T, size)
    products: Tensor = torch.fft.irfft(spectrum_F, size)
    return products[: rows - windows + 1]
