"""ResNet-18 for small pictures (He et al., 2016; the stem of its CIFAR variants), and its sparse twin.

B: pictures, C: channels, H, W: pixels, D: features, K: classes.

The stem is a 3x3 convolution of stride 1 without pooling, so that 32x32 pixels stay 32x32 in the first stage. `width`
is that of the first stage; 64 is ResNet-18 itself. The twins differ in one place only, a feed-forward network of D
features between the pooled features and the classifier: dense, or a mixture of experts of as many parameters.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from pipeline.nn.moe.layer import MixtureOfExperts
from pipeline.nn.moe.routing import Routing

STAGES = (1, 2, 4, 8)  # widths in units of the first
BLOCKS = 2  # of each stage

Head = Literal["linear", "dense", "experts"]


class Classified(NamedTuple):
    """Logits and, of a sparse network, how its pictures were routed."""

    logit_BK: Tensor
    routing: Routing | None


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and a shortcut: (B, inputs, H, W) -> (B, outputs, H/stride, W/stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(outputs))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """As above."""
        inner_BCHW = relu(self.first_norm(self.first(x_BCHW)))
        return relu(self.second_norm(self.second(inner_BCHW)) + self.shortcut(x_BCHW))


class ResNet18(nn.Module):
    """Stem, four stages of two blocks, pooled features, a head and a linear classifier.

    head: `linear`, the classifier alone; `dense`, a feed-forward network of `hidden` units before it, beside a residual
    connection; `experts`, a mixture of `experts` in its place, `k` per picture, with the options of `MixtureOfExperts`.
    mean, deviation: of the training pictures' channels, in [0, 1].
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        width: int,
        head: Head = "linear",
        hidden: int = 0,
        mean: Sequence[float] = (),
        deviation: Sequence[float] = (),
        mixture: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.arguments: dict[str, Any] = {
            "channels": channels,
            "classes": classes,
            "width": width,
            "head": head,
            "hidden": hidden,
            "mean": list(mean),
            "deviation": list(deviation),
            "mixture": mixture,
        }
        self.mean_C11: Tensor
        self.deviation_C11: Tensor
        self.register_buffer("mean_C11", torch.tensor(list(mean) or [0.0] * channels)[:, None, None])
        self.register_buffer("deviation_C11", torch.tensor(list(deviation) or [1.0] * channels)[:, None, None])
        self.stem = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential()
        inputs = width
        for stage, factor in enumerate(STAGES):
            for block in range(BLOCKS):
                self.blocks.append(BasicBlock(inputs, width * factor, 2 if stage > 0 and block == 0 else 1))
                inputs = width * factor
        features = inputs
        self.dense = self.mixture = None
        if head != "linear":
            self.head_norm = nn.LayerNorm(features)
        if head == "dense":
            self.dense = nn.Sequential(nn.Linear(features, hidden), nn.GELU(), nn.Linear(hidden, features))
        elif head == "experts":
            self.mixture = MixtureOfExperts(features, hidden, **(mixture or {}))
        self.classifier = nn.Linear(features, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(
        self, x_BCHW: Tensor, generator: torch.Generator | None = None, sample: bool | None = None
    ) -> Classified:
        """Logits of pictures in [0, 1]; `generator` and `sample` are the gate's, see `TopKGate.forward`."""
        return self.classify(self.features(x_BCHW), generator, sample)

    def features(self, x_BCHW: Tensor) -> Tensor:
        """Pooled features, (B, D)."""
        normalised_BCHW = (x_BCHW - self.mean_C11) / self.deviation_C11
        mapped_BDHW: Tensor = self.blocks(relu(self.stem_norm(self.stem(normalised_BCHW))))
        return mapped_BDHW.mean(dim=(2, 3))

    def classify(
        self, feature_BD: Tensor, generator: torch.Generator | None = None, sample: bool | None = None
    ) -> Classified:
        """Logits of pooled features: many routes of one picture share its features."""
        routing = None
        if self.dense is not None:
            feature_BD = feature_BD + self.dense(self.head_norm(feature_BD))
        elif self.mixture is not None:
            y_BD, routing = self.mixture(self.head_norm(feature_BD), generator, sample)
            feature_BD = feature_BD + y_BD
        return Classified(self.classifier(feature_BD), routing)
