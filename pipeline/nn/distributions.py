"""Negative-binomial counts and Gaussian latents: log-likelihoods, samples, divergences.

B: cells, G: genes, D: latent dimensions. The negative binomial has mean μ and inverse dispersion θ:
variance μ + μ²/θ; θ -> ∞ is the Poisson. Both are given as logarithms: a softmax over many genes
underflows to exactly zero where its logarithm is still finite and has a gradient.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pipeline.nn.share import drawn

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_SERIES_FROM = 16.0  # from here on, four terms of the series are exact to less than a float32's last bit


def negative_binomial_log_likelihood(x: Tensor, log_mean: Tensor, log_theta: Tensor) -> Tensor:
    """log p(x | μ, θ), elementwise; the shapes broadcast, say x and log_mean (B, G) and log_theta (G,).

    x: whole counts >= 0. Equal to
    lgamma(x+θ) − lgamma(θ) − lgamma(x+1) + θ(log θ − log(θ+μ)) + x(log μ − log(θ+μ)),
    arranged so that large terms do not cancel: see `log_rising_ratio`.
    """
    n = x.clamp(min=1.0)  # the branch not taken must stay finite too, or its gradient turns the other's into NaN
    at_zero = -log_theta.exp() * softplus(log_mean - log_theta)
    ratio_to_zero = log_rising_ratio(n, log_theta.exp()) - n * softplus(log_theta - log_mean)
    return torch.where(x == 0, at_zero, at_zero + ratio_to_zero)


def log_rising_ratio(x: Tensor, theta: Tensor) -> Tensor:
    """lgamma(x+θ) − lgamma(θ) − lgamma(x+1), elementwise, x >= 1; θ (θ+1) ... (θ+x−1) / x!, in logarithms.

    Stirling's formula with its remainder S replaces each lgamma, as in Loader, "Fast and accurate computation of
    binomial probabilities" (2000), and the large terms cancel on paper instead of in a float32:
    S(x+θ) − S(x) − S(θ) + ½ log(θ / 2πx(x+θ)) + θ log(1+x/θ) + x log(1+θ/x).
    """
    return (
        stirling_error(x + theta)
        - stirling_error(x)
        - stirling_error(theta)
        + 0.5 * (theta.log() - x.log() - torch.log(x + theta))
        - _HALF_LOG_2PI
        + theta * torch.log1p(x / theta)
        + x * torch.log1p(theta / x)
    )


def stirling_error(z: Tensor) -> Tensor:
    """lgamma(z+1) − [(z+½) log z − z + ½ log 2π], elementwise, z > 0: the remainder of Stirling's formula."""
    small = z.clamp(max=_SERIES_FROM)
    exact = torch.lgamma(small + 1) - (small + 0.5) * small.log() + small - _HALF_LOG_2PI
    inverse = 1 / z.clamp(min=_SERIES_FROM)
    square = inverse * inverse
    series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
    return torch.where(z < _SERIES_FROM, exact, series)


def digamma_error(z: Tensor) -> Tensor:
    """ψ(z) − log z, elementwise, z > 0: the remainder of the digamma function beyond the logarithm."""
    small = z.clamp(max=_SERIES_FROM)
    inverse = 1 / z.clamp(min=_SERIES_FROM)
    square = inverse * inverse
    series = -inverse * (0.5 + inverse * (1 / 12 - square * (1 / 120 - square / 252)))
    return torch.where(z < _SERIES_FROM, torch.digamma(small) - small.log(), series)


def sample_negative_binomial(log_mean: Tensor, log_theta: Tensor, generator: torch.Generator) -> Tensor:
    """Counts from the negative binomial, as floats of log_mean's shape: a Poisson whose rate is a gamma variate.

    The rate has shape θ and mean μ. The generator has to be on the device of the arguments.
    """
    theta = (log_theta + torch.zeros_like(log_mean)).exp()
    # The only gamma sampler of torch that takes a generator; torch.distributions draws from the global one.
    rate = torch._standard_gamma(theta, generator=generator) / theta * log_mean.exp()
    return torch.poisson(rate, generator=generator)


def sample_counterfactual(
    x: Tensor, log_mean: Tensor, log_mean_after: Tensor, log_theta: Tensor, generator: torch.Generator
) -> Tensor:
    """The counts x, drawn under `log_mean`, as they would have been under `log_mean_after`: floats of x's shape.

    A negative binomial is a Poisson whose rate is λ = μ g, with g a gamma variate of mean 1. The cell's own noise,
    its g and its Poisson draws, is kept: with r = μ'/μ, each count stays with probability min(r, 1), and
    Poisson((r−1)₊ λ) are added, λ from its posterior Gamma(x+θ, 1+θ/μ). So x' is negative binomial with mean μ' where x
    was with mean μ, and x' = x where the mean has not changed. (Abduction and prediction: Pearl, "Causality", ch. 7.)
    """
    theta, log_ratio = log_theta.exp(), log_mean_after - log_mean
    kept = torch.binomial(x, log_ratio.clamp(max=0.0).exp(), generator=generator)
    # Both rates in units of μ' − μ: a ratio of two tiny means can overflow, their difference can not.
    gamma = torch._standard_gamma(x + theta, generator=generator) / (log_mean.exp() + theta)
    added = torch.poisson(gamma * (log_mean_after.exp() - log_mean.exp()).clamp(min=0.0), generator=generator)
    return kept + added


def sample_gaussian(mean_BD: Tensor, log_variance_BD: Tensor, generator: torch.Generator) -> Tensor:
    """One sample (B, D) of each diagonal Gaussian, differentiable in its arguments."""
    noise_BD = drawn(
        lambda shape: torch.randn(shape, generator=generator, device=mean_BD.device, dtype=mean_BD.dtype), mean_BD.shape
    )
    return mean_BD + noise_BD * torch.exp(0.5 * log_variance_BD)


def kl_to_standard_normal(mean_BD: Tensor, log_variance_BD: Tensor) -> Tensor:
    """KL(N(mean, diag(variance)) ‖ N(0, I)) of each cell, (B,), in nats."""
    return 0.5 * (mean_BD.square() + log_variance_BD.exp() - 1 - log_variance_BD).sum(-1)


def kl_of_factor(mean_BD: Tensor, factor_BDD: Tensor) -> Tensor:
    """KL(N(mean, L Lᵀ) ‖ N(0, I)) of each row, (B,), in nats; the factor L is lower triangular, its diagonal positive.

    (‖mean‖² + ‖L‖² − D) / 2 − Σ_d log L_dd: the trace of L Lᵀ is ‖L‖², and half its log determinant the last sum.
    """
    squares_B = mean_BD.square().sum(-1) + factor_BDD.square().sum((-2, -1))
    return 0.5 * (squares_B - mean_BD.shape[-1]) - factor_BDD.diagonal(dim1=-2, dim2=-1).log().sum(-1)
