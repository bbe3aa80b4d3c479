"""The objectives of all systems on small minibatches, with everything in them that is drawn or looks at other examples:
dropout of every kind, sampled latents, times and noise, masking, gates, balance, capacity, batch norm, distances."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from pipeline.training.fit import Fitted, fit
from tests.processors.networks import Network, classifier, flow, forecaster, spatial, vae
from tests.training.line import settings


def forecaster_with_dropout() -> Network:
    objective, batch = forecaster(backbone="rmlp", experts=3, top_k=2, head_dropout=0.4)
    return objective, batch


def spatial_masked(masking: str, capacity_factor: float | None = None) -> Network:
    objective, batch = spatial("softmax", "headwise", "moe", orientation="shared", prediction="v")
    objective.masking = masking
    for layer in objective.model.layers:
        layer.ffn.capacity_factor = capacity_factor
    return objective, batch


sparse: Callable[..., Network] = partial(classifier, 4, experts=3, top_k=2)

OBJECTIVES: dict[str, Callable[[], Network]] = {
    "cfm_vc: vae": partial(vae, "softplus"),
    "cfm_vc: flow": flow,
    "alphastomics: dense": partial(spatial, "linear", "none", "dense", orientation="free", prediction="x0"),
    "alphastomics: experts, blocks hidden": partial(spatial_masked, "block"),
    "alphastomics: experts with a capacity, structured": partial(spatial_masked, "structured", 0.7),
    "bayes_moe: dense": partial(classifier, 4),
    "bayes_moe: gumbel gate in the block, capacity": partial(
        sparse, place="block", gate="gumbel_top_k", capacity_factor=0.7
    ),
    "bayes_moe: dropout gate, bias": partial(sparse, gate="dropout", balance="bias", adaptive_entropy=0.8),
    "bayes_moe: noisy gate, importance": partial(sparse, gate="noisy_top_k", balance="importance"),
    "bayes_moe: variational gate": partial(sparse, gate="variational"),
    "mole: head dropout": forecaster_with_dropout,
}
SYSTEMS = ("cfm_vc: vae", "cfm_vc: flow", "alphastomics: dense", "bayes_moe: dense", "mole: head dropout")


def made(name: str) -> Network:
    """The same weights and minibatch at every call and in every process."""
    torch.manual_seed(0)
    return OBJECTIVES[name]()


class InPieces:
    """A minibatch cut into smaller ones, the last with a single example (two of images, for batch norm)."""

    def __init__(self, batch: Any, size: int, spoiled: int | None = None) -> None:
        self.whole, self.size, self.spoiled = batch, size, spoiled

    def __len__(self) -> int:
        return len(self._starts())

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:  # noqa: ARG002
        for first, end in self._starts()[start:]:
            yield self.whole.part(first, end - first)

    def names(self, batch: Any) -> list[str]:
        return [f"one of {len(batch)}"] * len(batch)

    def _starts(self) -> list[tuple[int, int]]:
        count, last = len(self.whole), 2 if hasattr(self.whole, "x_BCHW") else 1
        starts = [*range(0, count - last, self.size), count - last, count]
        return list(pairwise(starts))


def gradients(
    objective: nn.Module, batch: Any, processes: Any, seed: int = 0
) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Parts of the loss of a training step; gradients, and buffers after it, by name."""
    objective.train()
    generator = torch.Generator().manual_seed(seed)
    losses = processes.losses(objective, batch, generator)
    losses["loss"].backward()
    parts = processes.gathered(losses, list(objective.parameters()))
    found = {name: weight.grad.clone() for name, weight in objective.named_parameters() if weight.grad is not None}
    return parts, found | {name: buffer.clone() for name, buffer in objective.named_buffers()}


def trained_system(name: str) -> tuple[dict[str, torch.Tensor], Fitted]:
    """Weights and result of two short epochs."""
    objective, batch = made(name)
    pieces = InPieces(batch, 2 if "alphastomics" in name else 9)
    values = settings(epochs=2, ema_decay=0.5, learning_rate=1e-3, weight_decay=0.01)
    return objective.state_dict(), fit(name, objective, pieces, pieces, values, torch.device("cpu"))
