"""The moving average, as a matrix and by running sums, and the two ways of a decomposed linear, against means with the
ends repeated."""

import pytest
import torch
from torch.nn.functional import avg_pool1d, pad

from pipeline.mole.model.decomposition import (
    FOLDED_FROM,
    decomposed_linear,
    folded,
    moving_average,
    moving_average_matrix,
)

L, P = 10, 4


def trend(x, kernel):
    reach = kernel // 2
    return avg_pool1d(pad(x[:, None], (reach, reach), mode="replicate"), kernel, 1)[:, 0]


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kernel", [1, 3, 9, 25])
def test_means_have_the_ends_repeated(kernel):
    x = normal(6, L)
    torch.testing.assert_close(x @ moving_average_matrix(L, kernel).T, trend(x, kernel))
    torch.testing.assert_close(moving_average(x, kernel), trend(x, kernel))


def test_running_sums_of_large_values_keep_the_precision_of_single_ones():
    x = (1e3 + normal(6, 700)).float()
    torch.testing.assert_close(moving_average(x, 25), trend(x.double(), 25).float(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("kernel", [1, 3, 9, 25])
def test_weights_are_folded_as_by_the_matrix(kernel):
    seasonal, of_trend = normal(P, L, seed=1), normal(P, L, seed=2)
    expected = seasonal + (of_trend - seasonal) @ moving_average_matrix(L, kernel)
    torch.testing.assert_close(folded(seasonal, of_trend, kernel), expected)


@pytest.mark.parametrize("of", [moving_average_matrix, lambda _, kernel: moving_average(normal(1, L), kernel)])
def test_an_even_kernel_is_refused(of):
    with pytest.raises(ValueError, match="even"):
        of(L, 4)


@pytest.mark.parametrize("series", [1, L, FOLDED_FROM - 1, FOLDED_FROM, 2 * FOLDED_FROM])
@pytest.mark.parametrize("kernel", [5, 25])
@pytest.mark.parametrize("bias", [True, False])
def test_both_ways_are_two_linears_on_trend_and_rest(series, kernel, bias):
    x = normal(series, L).requires_grad_()
    seasonal, trend_weight = normal(P, L, seed=1).requires_grad_(), normal(P, L, seed=2).requires_grad_()
    shift = normal(P, seed=3).requires_grad_() if bias else None
    inputs = [x, seasonal, trend_weight] + ([shift] if bias else [])
    fast = decomposed_linear(x, seasonal, trend_weight, kernel, shift)
    slow = (x - trend(x, kernel)) @ seasonal.T + trend(x, kernel) @ trend_weight.T + (shift if bias else 0)
    torch.testing.assert_close(fast, slow)
    found, expected = (torch.autograd.grad((y**3).sum(), inputs) for y in (fast, slow))
    torch.testing.assert_close(found, expected)


def test_in_mixed_precision_sums_stay_in_single():
    x, seasonal, trend_weight = (
        normal(2 * FOLDED_FROM, L).float(),
        normal(P, L, seed=1).float(),
        normal(P, L, seed=2).float(),
    )
    seasonal.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = decomposed_linear(x, seasonal, trend_weight, 5)
    y.float().sum().backward()
    assert (y.dtype, seasonal.grad.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(y.float(), decomposed_linear(x, seasonal, trend_weight, 5).detach(), rtol=0.03, atol=0.1)
