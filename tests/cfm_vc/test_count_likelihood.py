import numpy as np
import pytest
import torch
from scipy import special

from pipeline.cfm_vc.model.count_likelihood import log_likelihood_of_shares
from pipeline.nn.distributions import digamma_error, log_rising_ratio, negative_binomial_log_likelihood


def reference(logit_BG, library_B, log_theta_G, x_BG):
    """The same in plain terms, dense, with autograd's gradients."""
    log_mean_BG = torch.log_softmax(logit_BG, dim=1) + library_B.log()[:, None]
    return negative_binomial_log_likelihood(x_BG, log_mean_BG, log_theta_G).sum(1)


def fast(logit_BG, library_B, log_theta_G, x_BG):
    cell_K, gene_K = x_BG.nonzero(as_tuple=True)
    return log_likelihood_of_shares(logit_BG, library_B, log_theta_G, x_BG[cell_K, gene_K], cell_K, gene_K)


def counts(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    x_BG = torch.poisson(torch.full((7, 40), 0.7, dtype=dtype), generator=generator)
    x_BG[2] = 0  # an empty cell
    x_BG[3, 4] = 90_000
    x_BG[4] = 1
    x_BG[5] = torch.arange(40)
    return x_BG, torch.randn((7, 40), generator=generator, dtype=dtype)


def value_and_gradients(function, logit, library, log_theta, x):
    logit, log_theta = logit.clone().requires_grad_(), log_theta.clone().requires_grad_()
    value = function(logit, library, log_theta, x)
    weight = torch.linspace(-1, 2, len(value), dtype=value.dtype)  # each cell's gradient is its own
    (value * weight).sum().backward()
    return value.detach(), logit.grad, log_theta.grad


@pytest.mark.parametrize("spread", [1.0, 8.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_value_and_gradients_are_those_of_the_dense_reference(dtype, spread):
    x, logit = counts(dtype)
    arguments = spread * logit, x.sum(1).clamp(min=1.0), torch.linspace(-4, 8, 40, dtype=dtype), x
    # The reference is in float64 throughout: it is what the fast path is judged by.
    expected = value_and_gradients(reference, *(argument.double() for argument in arguments))
    found = value_and_gradients(fast, *arguments)
    # The series in them is exact to a float32, and one count is 90,000.
    tolerance = {torch.float64: {"rtol": 1e-7, "atol": 1e-5}, torch.float32: {"rtol": 2e-5, "atol": 2e-3}}[dtype]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other, **tolerance)


def test_the_gradient_is_that_of_finite_differences():
    x, logit = counts(torch.float64)
    x[3, 4] = 12
    arguments = logit.requires_grad_(), x.sum(1).clamp(min=1.0), torch.linspace(-2, 3, 40).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda *a: fast(*a, x), arguments)


@pytest.mark.parametrize("logit", [-120.0, 0.0, 60.0])
@pytest.mark.parametrize("log_theta", [-60.0, -20.0, 0.0, 20.0])
def test_extreme_shares_and_dispersions_keep_values_and_gradients_finite(logit, log_theta):
    x = torch.tensor([[0.0, 1.0, 100_000.0, 3.0], [5.0, 0.0, 0.0, 0.0]])
    logits = torch.zeros(2, 4)
    logits[:, :3] = logit  # at -120 the other gene takes the whole of the softmax, and shares underflow
    found = value_and_gradients(fast, logits, x.sum(1), torch.full((4,), log_theta), x)
    assert all(torch.isfinite(part).all() for part in found)
    expected = value_and_gradients(
        reference, logits.double(), x.sum(1).double(), torch.full((4,), log_theta).double(), x.double()
    )
    torch.testing.assert_close(found[0].double(), expected[0], rtol=1e-4, atol=0.05)


def test_cells_without_counts_alone():
    x, logit = torch.zeros(3, 5), torch.randn(3, 5)
    found = value_and_gradients(fast, logit, torch.ones(3), torch.zeros(5), x)
    expected = value_and_gradients(reference, logit, torch.ones(3), torch.zeros(5), x)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("theta", [1e-3, 0.5, 3.0, 15.9, 16.1, 1e4])
def test_the_pieces_are_those_of_scipy(theta):
    x = torch.tensor([1.0, 2, 3, 17, 1000, 1e5])
    exact = x.double().numpy()
    expected = special.gammaln(exact + theta) - special.gammaln(theta) - special.gammaln(exact + 1)
    torch.testing.assert_close(
        log_rising_ratio(x, torch.tensor(theta)).double(),
        torch.from_numpy(expected),
        rtol=1e-5,
        atol=1e-2 if theta > 1e3 else 2e-4,
    )
    digamma = special.digamma(exact) - np.log(exact)
    torch.testing.assert_close(digamma_error(x.double()), torch.from_numpy(digamma), rtol=1e-9, atol=1e-12)
