"""Routing of tokens to experts: decided by a gate, carried out by a dispatch.

N: tokens, E: experts, K: experts per token.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot


class Routing(NamedTuple):
    """A gate's decision for N tokens.

    The weight of a slot that carries no token (dropped for capacity, or spared by a token that takes fewer experts) is
    exactly zero, and `kept_NK` says so; its expert is a placeholder.
    """

    expert_NK: Tensor  # int64: the chosen experts, the most probable first
    weight_NK: Tensor  # of the experts' outputs in the token's; see `combine_weights`
    kept_NK: Tensor  # bool
    probability_NE: Tensor  # softmax of the logits the choice was made by
    logit_NE: Tensor  # those logits, noise included
    divergence: Tensor  # KL of a stochastic gate from its prior, mean over tokens, in nats; 0 for others
    spared_NK: Tensor | None = None  # bool: slots that their token did not use; None: every token used K
    complete: bool = False  # whether every slot is known to carry a token, without looking at `kept_NK`

    @property
    def experts(self) -> int:
        """How many experts there are."""
        return self.logit_NE.shape[1]

    def only(self, kept_NK: Tensor) -> "Routing":
        """Without the other slots, which contribute exactly zero; weights of the kept are not rescaled."""
        return self._replace(kept_NK=kept_NK, weight_NK=self.weight_NK * kept_NK, complete=False)

    def load_E(self) -> Tensor:
        """Tokens carried to each expert, (E,) int64."""
        return torch.bincount(self.expert_NK[self.kept_NK], minlength=self.experts)

    def dropped(self) -> Tensor:
        """How many slots carry no token because capacity ran out."""
        return (~self.kept_NK).sum() - self.spared()

    def spared(self) -> Tensor:
        """How many slots were unused by tokens that were certain enough to take fewer than K experts."""
        if self.spared_NK is None:
            return torch.zeros((), dtype=torch.int64, device=self.kept_NK.device)
        return self.spared_NK.sum()


def combine_weights(logit_NE: Tensor, probability_NE: Tensor, expert_NK: Tensor) -> Tensor:
    """Weights of the chosen experts, (N, K), from the logits that chose them and their softmax.

    Two or more: the softmax over the chosen, so a row sums to 1 (Shazeer et al., 2017). One: its probability among all
    experts (Fedus et al., "Switch transformers", 2022), since a softmax over one is 1 whatever the logit, and the loss
    of the task would never reach the gate.
    """
    if expert_NK.shape[1] == 1:
        return probability_NE.gather(1, expert_NK)
    return probabilities(logit_NE.gather(1, expert_NK))


def probabilities(logit_NE: Tensor) -> Tensor:
    """Softmax of each row, computed over columns of the transpose, ten times faster for short rows."""
    return torch.softmax(logit_NE.T.contiguous(), dim=0).T


def within_capacity(expert_NK: Tensor, kept_NK: Tensor, experts: int, capacity: int) -> Tensor:
    """Which of the kept slots are within a capacity of so many for each expert, (N, K) bool; the rest are to be
    dropped.

    Slots are assigned by rank first (every token's first choice before any second choice), then by position, as in
    GShard (Lepikhin et al., 2021).
    """
    tokens, ranks = expert_NK.shape
    by_rank = expert_NK.T.reshape(-1)  # (K N)
    kept_by_rank = kept_NK.T.reshape(-1)
    taken_E = one_hot(by_rank, experts) * kept_by_rank[:, None]
    place = (taken_E.cumsum(0).gather(1, by_rank[:, None])[:, 0] - 1).clamp(min=0)
    return (kept_by_rank & (place < capacity)).view(ranks, tokens).T
