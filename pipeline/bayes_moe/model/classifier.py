"""The training objective of an image classifier, and its predictions: logits, routings, averages over sampled routes.

B: images, C: channels, H, W: pixels, K: classes, E: experts, N: tokens, S: samples.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from pipeline.bayes_moe.data.resident import ImageBatch
from pipeline.bayes_moe.model.members import diversity, own_cross_entropy
from pipeline.bayes_moe.model.moe_statistics import statistics_of
from pipeline.bayes_moe.model.resnet import ResNet18
from pipeline.nn.moe import balance
from pipeline.nn.moe.routing import Routing
from pipeline.nn.share import drawn, total

BALANCES = {"switch": balance.switch, "importance": balance.importance}


class ClassifierObjective(nn.Module):
    """Cross-entropy; of a sparse network also the auxiliary losses of its routing, each times its weight. Of members
    each its own cross-entropy, less their diversity times its weight.

    balance: the loss that is weighted by `balance_weight`; or `bias`, which has none, and `balance_weight` is its step.

    While training, images are shifted and flipped at random. In evaluation the loss is the cross-entropy alone, so
    that dense and sparse networks are chosen by the same number.
    """

    def __init__(
        self,
        model: ResNet18,
        *,
        shift: int = 0,
        flip: bool = False,
        balance: str = "switch",
        balance_weight: float = 0.0,
        z_weight: float = 0.0,
        divergence_weight: float = 0.0,
        diversity_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.model, self.shift, self.flip = model, shift, flip
        self.balance, self.balance_weight = balance, balance_weight
        self.z_weight, self.divergence_weight = z_weight, divergence_weight
        self.diversity_weight = diversity_weight

    def forward(self, batch: ImageBatch, generator: torch.Generator) -> dict[str, Tensor]:
        """Means over the minibatch: loss, nll, accuracy; with experts also balance, z, entropy, dropped, loads;
        with members their diversity."""
        x_BCHW = moved(batch.x_BCHW, self.shift, self.flip, generator) if self.training else batch.x_BCHW
        logit_BK, routing, member_MBK = self.model(x_BCHW, generator)
        nll = cross_entropy(logit_BK, batch.label_B)
        parts = {"nll": nll, "accuracy": (logit_BK.detach().argmax(1) == batch.label_B).float().mean()}
        loss = nll
        if member_MBK is not None:
            parts |= {"diversity": (differing := diversity(member_MBK))}
            if self.training:
                loss = own_cross_entropy(member_MBK, batch.label_B) - self.diversity_weight * differing
        if routing is not None:
            penalty = BALANCES.get(self.balance, balance.switch)(routing)
            z = balance.z_loss(routing)
            if self.training:
                if self.balance == "bias":
                    assert self.model.mixture is not None
                    self.model.mixture.gate.rebalance(total(routing.load_E()), self.balance_weight)
                else:
                    loss = loss + self.balance_weight * penalty
                loss = loss + self.z_weight * z + self.divergence_weight * routing.divergence
            found = statistics_of(routing)
            parts |= {"balance": penalty, "z": z, "entropy": found.entropy, "dropped": found.dropped}
            parts |= {f"load_{expert}": share for expert, share in enumerate(found.utilisation_E.unbind())}
        return {"loss": loss, **parts}


def moved(x_BCHW: Tensor, shift: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Each image by up to `shift` pixels in both directions, padded with black; every second is mirrored."""
    images, channels, height, width = x_BCHW.shape
    device = x_BCHW.device
    if shift:
        by_2B = drawn(
            lambda shape: torch.randint(0, 2 * shift + 1, shape, generator=generator, device=device),
            (2, images),
            axis=1,
        )
        row_BH = by_2B[0][:, None] + torch.arange(height, device=device)
        column_BW = by_2B[1][:, None] + torch.arange(width, device=device)
        place_B = torch.arange(images, device=device)[:, None, None, None]
        channel_C = torch.arange(channels, device=device)[:, None, None]
        x_BCHW = pad(x_BCHW, (shift,) * 4)[place_B, channel_C, row_BH[:, None, :, None], column_BW[:, None, None]]
    if flip:
        mirrored_B = drawn(lambda shape: torch.rand(shape, generator=generator, device=device), (images,)) < 0.5
        x_BCHW = torch.where(mirrored_B[:, None, None, None], x_BCHW.flip(3), x_BCHW)
    return x_BCHW


@torch.no_grad()
def logits(model: ResNet18, batches: Iterator[ImageBatch]) -> Tensor:
    """Of all images, (N, K), on the CPU, without any noise."""
    return torch.cat([model(batch.x_BCHW).logit_BK.cpu() for batch in batches])


@torch.no_grad()
def routings(model: ResNet18, batches: Iterator[ImageBatch]) -> Iterator[tuple[Routing, Tensor]]:
    """The noise-free routing of each minibatch of a sparse network, with the label of each token, (N,)."""
    for batch in batches:
        routing = model(batch.x_BCHW).routing
        assert routing is not None
        tokens = len(routing.expert_NK) // len(batch)
        yield routing, batch.label_B.repeat_interleave(tokens)


@torch.no_grad()
def averaged(model: ResNet18, batches: Iterator[ImageBatch], samples: list[int], generator: torch.Generator) -> Tensor:
    """Logarithm of probabilities averaged over the first S passes with noise, for each S of `samples`: (len, N, K).

    The predictive distribution over routes, or over dropout (Gal and Ghahramani, 2016), by Monte Carlo: log p =
    logsumexp_s(log p_s) − log S. Passes of one image share what lies before the noise.
    """
    parts = []
    for batch in batches:
        trunk = model.trunk(batch.x_BCHW)
        drawn_SBK = torch.stack(
            [model.classify(trunk, generator, sample=True).logit_BK.log_softmax(1) for _ in range(max(samples))]
        )
        parts.append(torch.stack([drawn_SBK[:s].logsumexp(0) - math.log(s) for s in samples]).cpu())
    return torch.cat(parts, dim=1)
