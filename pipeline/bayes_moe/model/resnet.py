"""ResNet-18 for small images (He et al., 2016; the stem of its CIFAR variants), and its sparse twin.

B: images, C: channels, H, W: pixels, D: features, K: classes, N: tokens.

The stem is a 3x3 convolution of stride 1 without pooling, so that 32x32 pixels stay 32x32 in the first stage. `width`
is that of the first stage; 64 is ResNet-18 itself. The twins differ in one feed-forward network only, beside a residual
connection: dense, or a mixture of experts of as many parameters. Its place is the `head`, between the pooled features
and the classifier, where a token is an image; or a `block` before the last stage, where each position is a token.
"""

from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import relu

from pipeline.bayes_moe.model.batch_norm import BatchNorm2d
from pipeline.bayes_moe.model.members import Member, member_width, mixture
from pipeline.nn.dropout import dropout
from pipeline.nn.model_config import ModelConfig
from pipeline.nn.moe.gates import TopKGate
from pipeline.nn.moe.layer import MixtureOfExperts
from pipeline.nn.moe.routing import Routing

STAGES = (1, 2, 4, 8)  # widths in units of the first
BLOCKS = 2  # of each stage


class Classified(NamedTuple):
    """Logits; of a sparse network, how its images were routed; of one of M members, their log probabilities."""

    logit_BK: Tensor
    routing: Routing | None
    member_MBK: Tensor | None = None


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and a shortcut: (B, inputs, H, W) -> (B, outputs, H/stride, W/stride).

    The shortcut takes every `stride`-th position before a 1x1 convolution of stride 1. A strided 1x1 convolution is the
    same function, but oneDNN's AVX2 kernel of its weight's gradient writes past its buffer where it has fewer than 8
    input channels in channels_last (torch 2.13.0), and it is hardly faster (benchmarks/README.md).
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.first_norm = BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, bias=False))
            self.shortcut.append(BatchNorm2d(outputs))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """As above."""
        inner_BCHW = relu(self.first_norm(self.first(x_BCHW)))
        shortcut_BCHW = self.shortcut(x_BCHW[:, :, :: self.stride, :: self.stride])
        return relu(self.second_norm(self.second(inner_BCHW)) + shortcut_BCHW)


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1) for _ in range(BLOCKS - 1)))


class ResNetConfig(ModelConfig):
    """`network`: none, dense, experts (a mixture), or members, which also have their last stages. `mean`, `deviation`:
    of the training images' channels, in [0, 1]. `dropout`: the rate, before each linear layer from a dense network on.
    The other fields are parameters of a point and of the recipe of `bayes_moe.sweep`, and sizes of the data; those from
    `experts` to `hidden_per_expert` are the mixture's (see `MixtureOfExperts`)."""

    channels: int
    classes: int
    width: int
    network: Literal["none", "dense", "experts", "members"] = "none"
    place: Literal["head", "block"] = "head"
    hidden: int = 0
    mean: list[float] = Field(default_factory=list)
    deviation: list[float] = Field(default_factory=list)
    experts: int | None = None
    top_k: int = 1
    gate: str = "top_k"
    temperature: float = 1.0
    capacity_factor: float | None = None
    adaptive_entropy: float = 0.0
    hidden_per_expert: int | None = None
    dropout: float = 0.0
    members: int | None = None


class ResNet18(nn.Module):
    """Stem, four stages of two blocks, a feed-forward network of `hidden` units, and a linear classifier."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        channels, width, hidden, network = config.channels, config.width, config.hidden, config.network
        self.mean_C11: Tensor
        self.deviation_C11: Tensor
        self.register_buffer("mean_C11", torch.tensor(config.mean or [0.0] * channels)[:, None, None])
        self.register_buffer("deviation_C11", torch.tensor(config.deviation or [1.0] * channels)[:, None, None])
        self.stem = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.stem_norm = BatchNorm2d(width)
        self.stages = nn.ModuleList()
        inputs = width
        for stage, factor in enumerate(STAGES[:-1] if network == "members" else STAGES):
            self.stages.append(_stage(inputs, width * factor, 2 if stage > 0 else 1))
            inputs = width * factor
        self.place = config.place
        dimensions = width * STAGES[-1 if config.place == "head" else -2]
        self.dense = self.mixture = self.members = None
        if network in ("dense", "experts"):
            self.network_norm = nn.LayerNorm(dimensions)
        if network == "dense":
            self.dense = nn.Sequential(nn.Linear(dimensions, hidden), nn.GELU(), nn.Linear(hidden, dimensions))
        elif network == "experts":
            assert config.experts is not None
            self.mixture = MixtureOfExperts(
                dimensions,
                hidden,
                config.experts,
                config.top_k,
                gate=config.gate,
                temperature=config.temperature,
                capacity_factor=config.capacity_factor,
                adaptive_entropy=config.adaptive_entropy,
                hidden_per_expert=config.hidden_per_expert,
            )
        elif network == "members":
            assert config.members is not None
            own = member_width(width * STAGES[-1], config.members)
            units = max(1, hidden // config.members)
            self.members = nn.ModuleList(
                Member(_stage(inputs, own, 2), own, units, config.classes) for _ in range(config.members)
            )
        if self.members is None:
            self.classifier = nn.Linear(inputs, config.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def stochastic(self) -> bool:
        """Whether passes can have noise: that of the gate, or dropout."""
        return self.config.dropout > 0 or (self.mixture is not None and type(self.mixture.gate) is not TopKGate)

    def forward(
        self, x_BCHW: Tensor, generator: torch.Generator | None = None, sample: bool | None = None
    ) -> Classified:
        """Logits of images in [0, 1]. `sample`: whether gate and dropout have noise; None: while training only."""
        return self.classify(self.trunk(x_BCHW), generator, sample)

    def trunk(self, x_BCHW: Tensor) -> Tensor:
        """What comes before the feed-forward network, or the members: pooled features (B, D), or those of positions
        (B, D, H, W)."""
        mapped_BDHW = (x_BCHW - self.mean_C11) / self.deviation_C11
        mapped_BDHW = relu(self.stem_norm(self.stem(mapped_BDHW)))
        for stage in self.stages[: len(STAGES) - 1]:
            mapped_BDHW = stage(mapped_BDHW)
        if self.members is not None:
            return mapped_BDHW
        return self._last_stage(mapped_BDHW) if self.place == "head" else mapped_BDHW

    def classify(
        self, trunk: Tensor, generator: torch.Generator | None = None, sample: bool | None = None
    ) -> Classified:
        """Logits from what `trunk` made: many routes of one image share it."""
        if self.members is not None:
            member_MBK = torch.stack([member(trunk) for member in self.members]).log_softmax(2)
            return Classified(mixture(member_MBK), None, member_MBK)
        if self.place == "head":
            feature_BD, routing = self._fed_forward(trunk, generator, sample)
            return Classified(self.classifier(self._dropout(feature_BD, generator, sample)), routing)
        positions_BHWD = trunk.permute(0, 2, 3, 1)
        feature_ND, routing = self._fed_forward(positions_BHWD.flatten(0, 2), generator, sample)
        mapped_BDHW = feature_ND.view(positions_BHWD.shape).permute(0, 3, 1, 2)
        feature_BD = self._dropout(self._last_stage(mapped_BDHW), generator, sample)
        return Classified(self.classifier(feature_BD), routing)

    def tokens(self, height: int, width: int) -> int:
        """Of one image of H x W pixels: 1 in the head, in the block the positions that two strides leave."""
        if self.place == "head":
            return 1
        stride = STAGES[-2]
        return -(-height // stride) * -(-width // stride)

    def _fed_forward(
        self, x_ND: Tensor, generator: torch.Generator | None, sample: bool | None
    ) -> tuple[Tensor, Routing | None]:
        if self.dense is not None:
            up, activation, down = self.dense
            hidden_NH = activation(up(self._dropout(self.network_norm(x_ND), generator, sample)))
            return x_ND + down(self._dropout(hidden_NH, generator, sample)), None
        if self.mixture is not None:
            y_ND, routing = self.mixture(self.network_norm(x_ND), generator, sample)
            return x_ND + y_ND, routing
        return x_ND, None

    def _dropout(self, x: Tensor, generator: torch.Generator | None, sample: bool | None) -> Tensor:
        noisy = self.training if sample is None else sample
        return dropout(x, self.config.dropout, generator) if noisy and self.config.dropout else x

    def _last_stage(self, mapped_BDHW: Tensor) -> Tensor:
        pooled_BD: Tensor = self.stages[-1](mapped_BDHW).mean(dim=(2, 3))
        return pooled_BD
