"""Small layers shared by the models: perceptron, embeddings of time, of a covariate and of a place.

B: cells, D: dimensions.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.nn.share import drawn


class Perceptron(nn.Sequential):
    """Hidden layers of the given widths, each linear -> layer norm -> SiLU: (B, inputs) -> (B, widths[-1])."""

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        steps = itertools.pairwise([inputs, *widths])
        super().__init__(*(layer for i, o in steps for layer in (nn.Linear(i, o), nn.LayerNorm(o), nn.SiLU())))


class CovariateEmbedding(nn.Module):
    """A vector per category and a learned one for "unknown": codes (B,) -> (B, dimensions).

    Codes from the number of categories on mean "unknown" (such as a category first seen after training). In training,
    each cell's covariate is replaced by "unknown" with probability `dropout`, so that its vector is learned.
    """

    def __init__(self, categories: int, dimensions: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.unknown = categories
        self.dropout = dropout
        self.table = nn.Embedding(categories + 1, dimensions)

    def forward(self, code_B: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Embed; the generator draws what is dropped, so training needs one."""
        code_B = code_B.clamp(max=self.unknown)
        if self.training and self.dropout > 0:
            if generator is None:
                raise TypeError("covariate dropout needs a generator while the module trains")
            chance_B = drawn(lambda shape: torch.rand(shape, generator=generator, device=code_B.device), code_B.shape)
            code_B = code_B.masked_fill(chance_B < self.dropout, self.unknown)
        embedded: Tensor = self.table(code_B)
        return embedded


class PlaceEmbedding(nn.Module):
    """A perceptron of coordinates, (B, S) -> (B, dimensions), and a learned vector for unknown places (None).

    In training, each cell's place is replaced by "unknown" with probability `dropout`, so that its vector is learned.
    Coordinates come centred and scaled (pipeline.data.coordinates).
    """

    def __init__(self, coordinates: int, dimensions: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.perceptron = Perceptron(coordinates, [dimensions, dimensions])
        self.unknown = nn.Parameter(torch.randn(dimensions))

    def forward(self, place_BS: Tensor | None, cells: int, generator: torch.Generator | None = None) -> Tensor:
        """Embed the places of so many cells; the generator draws what is dropped in training."""
        unknown_BE = self.unknown.expand(cells, -1)
        if place_BS is None:
            return unknown_BE
        embedded_BE: Tensor = self.perceptron(place_BS)
        if self.training and self.dropout > 0:
            if generator is None:
                raise TypeError("covariate dropout needs a generator while the module trains")
            chance_B = drawn(lambda shape: torch.rand(shape, generator=generator, device=place_BS.device), (cells,))
            dropped_B = chance_B < self.dropout
            return torch.where(dropped_B[:, None], unknown_BE, embedded_BE)
        return embedded_BE


def sinusoidal(t_B: Tensor, dimensions: int, fastest: float = 1000.0) -> Tensor:
    """Sines and cosines of times in [0, 1], (B, dimensions), at angular frequencies spaced evenly in log from 1 on.

    Vaswani et al., "Attention is all you need" (2017), with time in [0, 1] rather than in steps. `dimensions` is even.
    """
    frequency = torch.exp(torch.linspace(0, math.log(fastest), dimensions // 2, device=t_B.device, dtype=t_B.dtype))
    angle = t_B[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)
