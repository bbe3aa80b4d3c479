import math

import numpy as np
import pytest
import torch
from scipy import stats

from pipeline.nn.distributions import (
    kl_to_standard_normal,
    negative_binomial_log_likelihood,
    sample_counterfactual,
    sample_gaussian,
    sample_negative_binomial,
)


def formula(x, mean, theta):
    """The formula as the specification states it, in float64."""
    x, mean, theta = (torch.as_tensor(value, dtype=torch.float64) for value in (x, mean, theta))
    return (
        torch.lgamma(x + theta)
        - torch.lgamma(theta)
        - torch.lgamma(x + 1)
        + theta * (theta.log() - torch.log(theta + mean))
        + x * (mean.log() - torch.log(theta + mean))
    )


def log_likelihood(x, mean, theta, dtype=torch.float32):
    x, log_mean, log_theta = (torch.as_tensor(value, dtype=dtype) for value in (x, np.log(mean), np.log(theta)))
    return negative_binomial_log_likelihood(x, log_mean, log_theta)


@pytest.mark.parametrize("theta", [1e-6, 1e-3, 0.1, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("mean", [1e-8, 1e-3, 1.0, 50.0, 1e4, 1e5])
def test_log_likelihood_agrees_with_scipy_in_float32(theta, mean):
    x = np.array([0, 1, 2, 5, 100, 10_000, 100_000.0])
    expected = stats.nbinom.logpmf(x, theta, theta / (theta + mean))
    np.testing.assert_allclose(log_likelihood(x, mean, theta).numpy(), expected, rtol=1e-4, atol=3e-3)


def test_log_likelihood_is_the_formula_of_the_specification():
    random = np.random.default_rng(0)
    mean, theta = random.gamma(1, 5, 200), random.gamma(2, 1, 200)
    x = random.poisson(mean).astype(float)
    np.testing.assert_allclose(log_likelihood(x, mean, theta, torch.float64), formula(x, mean, theta), rtol=1e-9)


def test_gradients_are_those_of_the_formula():
    x = torch.tensor([0.0, 1, 7, 300])
    log_mean = torch.tensor([0.3, -4.0, 2.0, 5.0], requires_grad=True)
    log_theta = torch.tensor([0.1, -3.0, 4.0, 1.0], requires_grad=True)
    negative_binomial_log_likelihood(x, log_mean, log_theta).sum().backward()
    exact_mean = log_mean.detach().double().requires_grad_()
    exact_theta = log_theta.detach().double().requires_grad_()
    formula(x, exact_mean.exp(), exact_theta.exp()).sum().backward()
    torch.testing.assert_close(log_mean.grad, exact_mean.grad.float(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(log_theta.grad, exact_theta.grad.float(), rtol=1e-4, atol=1e-4)


def test_large_theta_is_poisson():
    x = np.arange(20.0)
    np.testing.assert_allclose(log_likelihood(x, 5.0, 1e8), stats.poisson.logpmf(x, 5.0), rtol=1e-4)


@pytest.mark.parametrize("log_mean", [-200.0, -90.0, 11.0])
@pytest.mark.parametrize("log_theta", [-20.0, 0.0, 20.0])
def test_extreme_means_and_dispersions_keep_values_and_gradients_finite(log_mean, log_theta):
    x = torch.tensor([0.0, 1.0, 100_000.0])
    mean = torch.full((3,), log_mean, requires_grad=True)
    theta = torch.full((3,), log_theta, requires_grad=True)
    value = negative_binomial_log_likelihood(x, mean, theta)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(mean.grad).all()
    assert torch.isfinite(theta.grad).all()


@pytest.mark.parametrize(("mean", "theta"), [(0.5, 0.3), (20.0, 2.0), (1000.0, 50.0)])
def test_samples_have_the_mean_and_variance_of_the_distribution(mean, theta):
    generator = torch.Generator().manual_seed(0)
    log_mean = torch.full((40_000,), float(np.log(mean)))
    x = sample_negative_binomial(log_mean, torch.tensor(float(np.log(theta))), generator).double()
    variance = mean + mean**2 / theta
    assert abs(x.mean() - mean) < 5 * (variance / len(x)) ** 0.5
    assert x.var().item() == pytest.approx(variance, rel=0.1)
    assert torch.equal(x, x.round())


def test_samples_depend_on_the_generator_alone():
    log_mean, log_theta = torch.zeros(5, 3), torch.zeros(3)
    draws = [sample_negative_binomial(log_mean, log_theta, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_kl_is_that_of_torch():
    mean, log_variance = torch.randn(4, 3), torch.randn(4, 3)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, (0.5 * log_variance).exp()), normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), expected)
    assert kl_to_standard_normal(torch.zeros(1, 3), torch.zeros(1, 3)).item() == 0


def test_gaussian_samples_have_the_moments_asked_for():
    generator = torch.Generator().manual_seed(0)
    sample = sample_gaussian(torch.full((50_000, 1), 3.0), torch.full((50_000, 1), np.log(4.0)), generator)
    assert sample.mean().item() == pytest.approx(3, abs=0.05)
    assert sample.std().item() == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("ratio", [0.25, 1.0, 3.0])
def test_counterfactual_counts_follow_the_negative_binomial_of_the_new_mean(ratio):
    generator, log_theta = torch.Generator().manual_seed(0), torch.tensor(2.0).log()
    before = torch.full((200_000,), 3.0).log()
    after = before + math.log(ratio)
    x = sample_negative_binomial(before, log_theta, generator)
    changed = sample_counterfactual(x, before, after, log_theta, generator)
    mean = 3.0 * ratio
    assert changed.mean().item() == pytest.approx(mean, rel=0.02)
    assert changed.var().item() == pytest.approx(mean + mean**2 / 2.0, rel=0.03)
    if ratio < 1:
        assert bool((changed <= x).all())
    if ratio == 1:
        assert torch.equal(changed, x)
    if ratio > 1:
        assert bool((changed >= x).all())
        assert torch.corrcoef(torch.stack([x, changed]))[0, 1] > 0.7  # a cell stays itself


def test_counterfactual_counts_are_finite_for_extreme_means():
    generator = torch.Generator().manual_seed(0)
    x = torch.tensor([0.0, 0.0, 1e5, 1e5, 0.0])
    before, after = torch.tensor([-80.0, 5.0, 11.0, 11.0, -120.0]), torch.tensor([5.0, -80.0, -80.0, 13.0, -120.0])
    changed = sample_counterfactual(x, before, after, torch.tensor(0.0), generator)
    assert bool(torch.isfinite(changed).all())
    assert changed[0] > 0 or changed[1] == 0
    assert changed[2] == 0
