"""Gaussian diffusion in discrete time: schedule, marginals, what a network may predict, and the steps of two samplers.

B: examples (neighbourhoods), N: cells of a neighbourhood, S: spatial dimensions. `_B_` stands for (B, ...): any
trailing axes. Times are int64, (B,), one for each example, from 0 (clean) to T = `steps` (all but pure noise).

q(x_t | x_0) = N(√ᾱ_t x_0, (1 − ᾱ_t) I), Ho et al., "Denoising diffusion probabilistic models" (2020).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pipeline.nn.share import drawn

OFFSET = 0.008  # s of Nichol & Dhariwal: the first step then adds a little noise, not none
LARGEST_BETA = 0.999  # their limit: without it the last step would leave no signal, and x_0 could not be had from noise


@dataclass(frozen=True)
class Schedule:
    """The cosine schedule of Nichol & Dhariwal, "Improved denoising diffusion probabilistic models" (2021), eq. 17.

    ᾱ(t) = f(t) / f(0) with f(t) = cos((t/T + s) / (1 + s) · π/2)^(2 · exponent), s = 0.008, and β_t clipped at 0.999.
    Their schedule has exponent 1; a higher one destroys the signal earlier. ᾱ(0) is exactly 1.

    Everything is computed in float64 and then cast to the type of the examples: 1 − ᾱ(1) is 4e-5, of which float32
    would keep three digits.
    """

    steps: int = 1000
    exponent: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1 or not (math.isfinite(self.exponent) and self.exponent > 0):
            raise ValueError(f"a schedule needs steps >= 1 and an exponent > 0: {self}")

    @cached_property
    def table(self) -> Tensor:
        """ᾱ(t) for t = 0 ... T, (T + 1,) float64 on the CPU."""
        share = torch.arange(self.steps + 1, dtype=torch.float64) / self.steps
        angle = ((share + OFFSET) / (1 + OFFSET)).clamp(max=1) * (math.pi / 2)
        f = torch.cos(angle) ** (2 * self.exponent)
        kept = (f[1:] / f[:-1]).clamp(min=1 - LARGEST_BETA)
        return torch.cat([torch.ones(1, dtype=torch.float64), kept.cumprod(0)])

    def alpha_bar(self, t_B: Tensor) -> Tensor:
        """ᾱ(t), (B,) float64 on the device of the times. A time outside 0 ... T is an IndexError."""
        return self.table.to(t_B.device)[t_B]

    def levels(self, t_B: Tensor, like_B_: Tensor) -> tuple[Tensor, Tensor]:
        """√ᾱ(t) and √(1 − ᾱ(t)), of the type of the examples and shaped to be multiplied with them."""
        alpha_bar_B = self.alpha_bar(t_B)
        return _beside(alpha_bar_B.sqrt(), like_B_), _beside((1 - alpha_bar_B).sqrt(), like_B_)

    def noised(self, x0_B_: Tensor, noise_B_: Tensor, t_B: Tensor) -> Tensor:
        """x_t = √ᾱ x_0 + √(1 − ᾱ) ε: a sample of q(x_t | x_0) for standard normal noise."""
        signal, level = self.levels(t_B, x0_B_)
        return signal * x0_B_ + level * noise_B_

    def x0_from_v(self, x_t_B_: Tensor, v_B_: Tensor, t_B: Tensor) -> Tensor:
        """x_0 = √ᾱ x_t − √(1 − ᾱ) v, where v = √ᾱ ε − √(1 − ᾱ) x_0 is what a network with v-prediction answers.

        Salimans & Ho, "Progressive distillation for fast sampling of diffusion models" (2022), appendix D.
        """
        signal, level = self.levels(t_B, x_t_B_)
        return signal * x_t_B_ - level * v_B_

    def noise_from_x0(self, x_t_B_: Tensor, x0_B_: Tensor, t_B: Tensor) -> Tensor:
        """ε = (x_t − √ᾱ x_0) / √(1 − ᾱ), for t > 0: at t = 0 there is no noise, and the quotient is not finite."""
        signal, level = self.levels(t_B, x_t_B_)
        return (x_t_B_ - signal * x0_B_) / level

    def strided(self, steps: int) -> list[int]:
        """steps + 1 integer times from T to 0, falling, as evenly spaced as integers allow.

        `steps` outside 1 ... T is a ValueError.
        """
        if not 1 <= steps <= self.steps:
            raise ValueError(f"sampling takes 1 to {self.steps} steps, not {steps}")
        return [(2 * self.steps * i + steps) // (2 * steps) for i in range(steps, -1, -1)]  # rounded half up

    def ddim_step(self, x_t_B_: Tensor, x0_hat_B_: Tensor, t_B: Tensor, s_B: Tensor) -> Tensor:
        """x_s from x_t and an estimate of x_0, for s < t, without noise: √ᾱ_s x̂_0 + √(1 − ᾱ_s) ε̂.

        Song, Meng & Ermon, "Denoising diffusion implicit models" (2021), eq. 12 with σ = 0: ε̂ is what x_t and x̂_0 give.
        At s = 0 the result is x̂_0, bit for bit.
        """
        return self.noised(x0_hat_B_, self.noise_from_x0(x_t_B_, x0_hat_B_, t_B), s_B)

    def ddpm_step(self, x_t_B_: Tensor, x0_hat_B_: Tensor, t_B: Tensor, s_B: Tensor, noise_B_: Tensor | None) -> Tensor:
        """A sample of the posterior q(x_s | x_t, x̂_0) for any s < t: Ho et al. (2020), eq. 6 and 7, with strides.

        With a = ᾱ_t / ᾱ_s, the signal that the stride keeps: mean √ᾱ_s (1 − a) / (1 − ᾱ_t) x̂_0 + √a (1 − ᾱ_s) /
        (1 − ᾱ_t) x_t, variance (1 − a) (1 − ᾱ_s) / (1 − ᾱ_t). `noise` is standard normal; None gives the mean.
        """
        now_B, then_B = self.alpha_bar(t_B), self.alpha_bar(s_B)
        kept_B = now_B / then_B
        from_x0_B = then_B.sqrt() * (1 - kept_B) / (1 - now_B)
        from_xt_B = kept_B.sqrt() * (1 - then_B) / (1 - now_B)
        mean_B_ = _beside(from_x0_B, x_t_B_) * x0_hat_B_ + _beside(from_xt_B, x_t_B_) * x_t_B_
        return _with_noise(mean_B_, (1 - kept_B) * (1 - then_B) / (1 - now_B), noise_B_)


def centred(x_BNS: Tensor, mask_BN: Tensor) -> Tensor:
    """Positions less the mean over the real cells (mask true) of their neighbourhood; zeros at padding."""
    real_BN1 = mask_BN[..., None].to(x_BNS.dtype)
    kept_BNS = x_BNS.masked_fill(~mask_BN[..., None], 0)  # not a product: padding may hold anything, NaN included
    mean_B1S = kept_BNS.sum(dim=1, keepdim=True) / real_BN1.sum(dim=1, keepdim=True).clamp(min=1)
    return (kept_BNS - mean_B1S) * real_BN1


def based(x_BNS: Tensor, mask_BN: Tensor, shared_frame: bool) -> Tensor:
    """Positions about the origin that they are known from: that of a shared frame, in which they stay as they are, or
    else the mean of their neighbourhood; zeros at padding."""
    return x_BNS.masked_fill(~mask_BN[..., None], 0) if shared_frame else centred(x_BNS, mask_BN)


def position_noise(mask_BN: Tensor, dimensions: int, generator: torch.Generator, shared_frame: bool) -> Tensor:
    """Standard normal noise of positions, (B, N, S) float32: in all of space in a shared frame, else `centred_normal`;
    zeros at padding."""
    return based(_normal(mask_BN, dimensions, generator), mask_BN, shared_frame)


def centred_normal(mask_BN: Tensor, dimensions: int, generator: torch.Generator) -> Tensor:
    """Standard normal noise in the subspace of zero mean over the real cells, (B, N, S) float32; zeros at padding.

    A standard normal sample projected on that subspace, so that diffusion of centred positions never leaves it:
    Hoogeboom et al., "Equivariant diffusion for molecule generation in 3D" (2022), section 3.1. Of n cells the variance
    of a coordinate is 1 − 1/n; a neighbourhood of one cell has no noise.
    """
    return centred(_normal(mask_BN, dimensions, generator), mask_BN)


def _normal(mask_BN: Tensor, dimensions: int, generator: torch.Generator) -> Tensor:
    shape = (*mask_BN.shape, dimensions)
    return drawn(lambda shape: torch.randn(shape, generator=generator, device=mask_BN.device), shape)


def _with_noise(mean_B_: Tensor, variance_B: Tensor, noise_B_: Tensor | None) -> Tensor:
    return mean_B_ if noise_B_ is None else mean_B_ + _beside(variance_B.clamp(min=0).sqrt(), mean_B_) * noise_B_


def _beside(value_B: Tensor, like_B_: Tensor) -> Tensor:
    return value_B.to(like_B_.dtype).reshape(-1, *(1,) * (like_B_.dim() - 1))
