"""Gates: which experts a token goes to, and with what weight.

Each is a linear map to one logit per expert, a temperature, and its own noise on the logits; the choice and the combine
weights come from the same noisy logits. Without noise (`sample` false, the default in evaluation)
a gate is a pure function of its input and draws no random number.

N: tokens, D: dimensions, E: experts, K: experts per token.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pipeline.nn.distributions import kl_of_factor, kl_to_standard_normal
from pipeline.nn.dropout import dropout
from pipeline.nn.moe.routing import Routing, combine_weights, probabilities
from pipeline.nn.share import drawn

LOG_VARIANCE_RANGE = (-10.0, 4.0)


class TopKGate(nn.Module):
    """The K experts of the largest logits x W / temperature.

    `adaptive_entropy`: a token whose normalised entropy H(p) / log E is below it takes its first expert alone, with the
    weight it has among the K; 0 gives every token K.
    """

    def __init__(
        self, dimensions: int, experts: int, k: int, temperature: float = 1.0, adaptive_entropy: float = 0.0
    ) -> None:
        """ValueError where k is not from 1 to `experts`, or the temperature is not above 0."""
        super().__init__()
        if not 1 <= k <= experts:
            raise ValueError(f"a token cannot choose {k} of {experts} experts")
        if not temperature > 0:
            raise ValueError(f"temperature {temperature} is not above 0")
        self.k, self.temperature, self.adaptive_entropy = k, temperature, adaptive_entropy
        self.logits = nn.Linear(dimensions, experts, bias=False)
        # The bias of bias-only balancing: it moves the choice, never a weight or a gradient.
        self.choice_bias_E: Tensor
        self.register_buffer("choice_bias_E", torch.zeros(experts))

    def forward(self, x_ND: Tensor, generator: torch.Generator | None = None, sample: bool | None = None) -> Routing:
        """Route. `sample`: whether the logits get their noise; None: while training only."""
        sample = self.training if sample is None else sample
        logit_NE, divergence = self.noisy_logits(x_ND, generator) if sample else (self.clean_logits(x_ND), None)
        logit_NE = logit_NE / self.temperature
        expert_NK = (logit_NE.detach() + self.choice_bias_E).topk(self.k, dim=1).indices
        probability_NE = probabilities(logit_NE)
        weight_NK = combine_weights(logit_NE, probability_NE, expert_NK)
        kept_NK = torch.ones_like(expert_NK, dtype=torch.bool)
        spared_NK = None
        if self.adaptive_entropy > 0 and self.k > 1:
            entropy_N = normalised_entropy(probability_NE.detach())
            kept_NK[:, 1:] = (entropy_N >= self.adaptive_entropy)[:, None]
            weight_NK, spared_NK = weight_NK * kept_NK, ~kept_NK
        if divergence is None:
            divergence = logit_NE.new_zeros(())
        complete = spared_NK is None
        return Routing(expert_NK, weight_NK, kept_NK, probability_NE, logit_NE, divergence, spared_NK, complete)

    def clean_logits(self, x_ND: Tensor) -> Tensor:
        """Logits without noise, (N, E), before the temperature; in memory expert by expert, as softmax is fastest."""
        return (self.logits.weight @ x_ND.T).T

    def noisy_logits(self, x_ND: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:  # noqa: ARG002
        """Logits with this gate's noise, and the divergence it costs, if any."""
        return self.clean_logits(x_ND), None

    @torch.no_grad()
    def rebalance(self, load_E: Tensor, rate: float) -> None:
        """Bias-only balancing: raise the bias of experts with less than the mean load by `rate`, lower the others'.

        Wang et al., "Auxiliary-loss-free load balancing" (2024). No gradient of any loss is disturbed by it.
        """
        self.choice_bias_E += rate * torch.sign(load_E.float().mean() - load_E)


class NoisyTopKGate(TopKGate):
    """Adds N(0, 1) · softplus(x W_noise) to each logit. Shazeer et al. (2017), eq. 3 to 5."""

    def __init__(
        self, dimensions: int, experts: int, k: int, temperature: float = 1.0, adaptive_entropy: float = 0.0
    ) -> None:
        super().__init__(dimensions, experts, k, temperature, adaptive_entropy)
        self.noise = nn.Linear(dimensions, experts, bias=False)
        nn.init.zeros_(self.noise.weight)

    def noisy_logits(self, x_ND: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
        """As above."""
        clean_NE = self.clean_logits(x_ND)
        return clean_NE + normal_like(clean_NE, generator) * self.spread(x_ND), None

    def spread(self, x_ND: Tensor) -> Tensor:
        """Standard deviation of the noise of each logit, (N, E)."""
        return softplus(self.noise(x_ND))


class GumbelTopKGate(TopKGate):
    """Adds Gumbel noise, so that the K are a sample without replacement from softmax(logits). Kool et al. (2019)."""

    def noisy_logits(self, x_ND: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
        """As above; scaled with the temperature, which then sharpens the distribution that is sampled."""
        clean_NE = self.clean_logits(x_ND)
        exponential_NE = drawn(
            lambda shape: clean_NE.new_empty(shape).exponential_(generator=generator), clean_NE.shape
        )
        smallest = torch.finfo(clean_NE.dtype).tiny
        return clean_NE - self.temperature * exponential_NE.clamp(min=smallest).log(), None


class DropoutGate(TopKGate):
    """Monte-Carlo dropout of the gate's input: a sample of routes (Gal and Ghahramani, 2016)."""

    RATE = 0.1

    def noisy_logits(self, x_ND: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
        """As above."""
        return self.clean_logits(dropout(x_ND, self.RATE, generator)), None


class VariationalGate(TopKGate):
    """Logits are Gaussian, N(x W, exp(x W_σ)), with the prior N(0, I), whose KL divergence is part of the loss."""

    def __init__(
        self, dimensions: int, experts: int, k: int, temperature: float = 1.0, adaptive_entropy: float = 0.0
    ) -> None:
        super().__init__(dimensions, experts, k, temperature, adaptive_entropy)
        self.log_variance = nn.Linear(dimensions, experts)
        nn.init.zeros_(self.log_variance.weight)
        nn.init.constant_(self.log_variance.bias, -2.0)

    def noisy_logits(self, x_ND: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
        """As above."""
        mean_NE = self.clean_logits(x_ND)
        log_variance_NE = self.log_variance(x_ND).clamp(*LOG_VARIANCE_RANGE)
        sampled_NE = mean_NE + normal_like(mean_NE, generator) * (0.5 * log_variance_NE).exp()
        return sampled_NE, kl_to_standard_normal(mean_NE, log_variance_NE).mean()


class RouterPriorGate(VariationalGate):
    """Logits are Gaussian, N(x W + x W_Δ, L Lᵀ) with L lower triangular and linear in x, with the prior N(x W, I).

    The mean of the prior is a deterministic router, fitted by the task, and the divergence does not pull it to zero: it
    costs only how far the posterior is from that router. Li and Wicker, "Variational routing" (VMoER, 2026),
    inference over logits with a full covariance; there the router is that of a trained network, and frozen.
    """

    def __init__(
        self, dimensions: int, experts: int, k: int, temperature: float = 1.0, adaptive_entropy: float = 0.0
    ) -> None:
        super().__init__(dimensions, experts, k, temperature, adaptive_entropy)
        self.shift = nn.Linear(dimensions, experts, bias=False)
        self.below_diagonal = nn.Linear(dimensions, experts * (experts - 1) // 2)
        for weight in (self.shift.weight, self.below_diagonal.weight, self.below_diagonal.bias):
            nn.init.zeros_(weight)  # the posterior starts around the router, without correlations

    def clean_logits(self, x_ND: Tensor) -> Tensor:
        """The mean of the posterior, (N, E), before the temperature."""
        shift_NE: Tensor = self.shift(x_ND)
        return super().clean_logits(x_ND) + shift_NE

    def noisy_logits(self, x_ND: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
        """As above."""
        router_NE, shift_NE, factor_NEE = super().clean_logits(x_ND), self.shift(x_ND), self.factor(x_ND)
        noise_NE = normal_like(router_NE, generator)
        sampled_NE = router_NE + shift_NE + (factor_NEE @ noise_NE[:, :, None])[:, :, 0]
        return sampled_NE, kl_of_factor(shift_NE, factor_NEE).mean()

    def factor(self, x_ND: Tensor) -> Tensor:
        """L, the Cholesky factor of the covariance, (N, E, E)."""
        log_variance_NE = self.log_variance(x_ND).clamp(*LOG_VARIANCE_RANGE)
        experts = log_variance_NE.shape[1]
        row, column = torch.tril_indices(experts, experts, -1)
        factor_NEE = torch.diag_embed((0.5 * log_variance_NE).exp())
        factor_NEE[:, row, column] = self.below_diagonal(x_ND)
        return factor_NEE


GATES: dict[str, type[TopKGate]] = {
    "top_k": TopKGate,
    "noisy_top_k": NoisyTopKGate,
    "gumbel_top_k": GumbelTopKGate,
    "dropout": DropoutGate,
    "variational": VariationalGate,
    "router_prior": RouterPriorGate,
}


def normalised_entropy(probability_NE: Tensor) -> Tensor:
    """H(p) / log E of each token, (N,): 0 where one expert is certain, 1 where all are alike."""
    experts = probability_NE.shape[1]
    if experts == 1:
        return torch.zeros(len(probability_NE), device=probability_NE.device)
    entropy_N: Tensor = torch.special.entr(probability_NE).sum(1)
    return entropy_N / math.log(experts)


def normal_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """A sample of N(0, I) of the shape of x."""
    return drawn(lambda shape: torch.randn(shape, generator=generator, device=x.device, dtype=x.dtype), x.shape)
