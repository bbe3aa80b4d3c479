"""The moving average as a matrix, and the two ways of a decomposed linear, against means of repeated ends."""

import pytest
import torch
from torch.nn.functional import avg_pool1d, pad

from pipeline.mole.model.decomposition import decomposed_linear, moving_average_matrix

L, P = 10, 4


def trend(x, kernel):
    reach = kernel // 2
    return avg_pool1d(pad(x[:, None], (reach, reach), mode="replicate"), kernel, 1)[:, 0]


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kernel", [1, 3, 9, 25])
def test_the_matrix_takes_means_with_the_ends_repeated(kernel):
    x = normal(6, L)
    torch.testing.assert_close(x @ moving_average_matrix(L, kernel).T, trend(x, kernel))


def test_an_even_kernel_is_refused():
    with pytest.raises(ValueError, match="even"):
        moving_average_matrix(L, 4)


@pytest.mark.parametrize("series", [1, L, L + 1, 40])
@pytest.mark.parametrize("bias", [True, False])
def test_both_ways_are_two_linears_on_trend_and_rest(series, bias):
    x = normal(series, L).requires_grad_()
    seasonal, trend_weight = normal(P, L, seed=1).requires_grad_(), normal(P, L, seed=2).requires_grad_()
    shift = normal(P, seed=3).requires_grad_() if bias else None
    inputs = [x, seasonal, trend_weight] + ([shift] if bias else [])
    fast = decomposed_linear(x, seasonal, trend_weight, moving_average_matrix(L, 5), shift)
    slow = (x - trend(x, 5)) @ seasonal.T + trend(x, 5) @ trend_weight.T + (shift if bias else 0)
    torch.testing.assert_close(fast, slow)
    found, expected = (torch.autograd.grad((y**3).sum(), inputs) for y in (fast, slow))
    torch.testing.assert_close(found, expected)
