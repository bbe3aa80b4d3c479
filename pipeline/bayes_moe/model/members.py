"""Members of one network: narrow last stages and heads behind a shared trunk, whose probabilities are averaged.

An ensemble within the parameters of one network. Each member learns from its own cross-entropy, and all are rewarded
for being of different opinions: Lee, Purushwalkam, Cogswell, Crandall and Batra (2015), "Why M heads are better than
one".

M: members, B: images, D: features, H, W: pixels, K: classes.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import nll_loss


class Member(nn.Module):
    """A stage, a feed-forward network beside a residual connection, and a classifier: (B, D, H, W) -> (B, K)."""

    def __init__(self, stage: nn.Module, dimensions: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.stage = stage
        self.network_norm = nn.LayerNorm(dimensions)
        self.dense = nn.Sequential(nn.Linear(dimensions, hidden), nn.GELU(), nn.Linear(hidden, dimensions))
        self.classifier = nn.Linear(dimensions, classes)

    def forward(self, mapped_BDHW: Tensor) -> Tensor:
        """Logits."""
        pooled_BD = self.stage(mapped_BDHW).mean(dim=(2, 3))
        logit_BK: Tensor = self.classifier(pooled_BD + self.dense(self.network_norm(pooled_BD)))
        return logit_BK


def member_width(width: int, members: int) -> int:
    """Of each last stage, so that all have about the weights of one of this width, which are as many as its square."""
    return max(1, int(width / math.sqrt(members)))


def mixture(log_MBK: Tensor) -> Tensor:
    """The logarithm of the members' mean probability, (B, K), from those of their own."""
    return torch.logsumexp(log_MBK, 0) - math.log(len(log_MBK))


def own_cross_entropy(log_MBK: Tensor, label_B: Tensor) -> Tensor:
    """The mean over members and images of −log p_m(label), in nats."""
    return nll_loss(log_MBK.flatten(0, 1), label_B.repeat(len(log_MBK)))


def diversity(log_MBK: Tensor) -> Tensor:
    """The members' Jensen-Shannon divergence, mean over images: mean over m of KL(p_m || mean p), from 0 to log M nats.

    Lin (1991), "Divergence measures based on the Shannon entropy".
    """
    return (log_MBK.exp() * (log_MBK - mixture(log_MBK))).sum(2).mean()
