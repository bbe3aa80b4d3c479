"""How evenly tokens are spread over experts, as losses and as statistics. All are pure functions of a routing.

Coefficients compare, whatever the number of experts or of choices: the losses named after a paper are scaled such that
uniform routing scores 1 (`switch`) or 0 (the squared coefficients of variation), and that all tokens at one expert
score E (`switch`, at K = 1) or E − 1.

N: tokens, E: experts, K: experts per token.
"""

import torch
from torch import Tensor

from pipeline.nn.moe.routing import Routing
from pipeline.nn.share import is_shared, total


def switch(routing: Routing) -> Tensor:
    """E Σ_e f_e P_e: f, the share of all slots that expert e was given; P, the mean probability of it.

    Fedus et al., "Switch transformers" (2022), eq. 4, with f over slots, not tokens, so that uniform routing scores 1
    whatever K. Differentiable through P. Slots count as chosen, whether or not capacity dropped them.
    """
    chosen_E = total(torch.bincount(routing.expert_NK.reshape(-1), minlength=routing.experts))
    share_E = chosen_E / chosen_E.sum()
    return routing.experts * (share_E * _mean_probability_E(routing)).sum()


def _mean_probability_E(routing: Routing) -> Tensor:
    """Over all tokens of the minibatch, (E,)."""
    if not is_shared():
        return routing.probability_NE.mean(0)
    ones_N1 = torch.ones_like(routing.probability_NE[:, :1])  # whose sum is the number of tokens
    sum_E1 = total(torch.cat([routing.probability_NE, ones_N1], dim=1).sum(0))
    return sum_E1[:-1] / sum_E1[-1]


def importance(routing: Routing) -> Tensor:
    """Squared coefficient of variation over experts of the sum of probabilities. Shazeer et al. (2017), eq. 6 and 7."""
    return squared_variation(total(routing.probability_NE.sum(0)))


def squared_variation(amount_E: Tensor) -> Tensor:
    """Variance over experts divided by the squared mean: 0 for equal amounts, E − 1 where one has everything."""
    mean = amount_E.mean()
    return (amount_E - mean).square().mean() / mean.square().clamp(min=torch.finfo(amount_E.dtype).tiny)


def z_loss(routing: Routing) -> Tensor:
    """Mean over tokens of (log Σ_e exp logit_e)²: keeps logits small. Zoph et al., "ST-MoE" (2022), eq. 5."""
    return torch.logsumexp(routing.logit_NE, dim=1).square().mean()
