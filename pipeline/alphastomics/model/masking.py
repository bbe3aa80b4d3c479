"""What is hidden from a network while it trains: genes of cells, or dimensions of their positions, in exact numbers.

B: neighbourhoods, N: cells, G: genes (or dimensions of the position).
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from pipeline.nn.share import drawn

Strategy = Literal["random", "block", "structured"]
Shape = tuple[int, int, int]


def hidden_count(share: float, of: int, least: int = 0) -> int:
    """How many of so many are hidden: share · of, rounded half up; where share > 0, `least` at the fewest.

    Genes are many, so `least` is 0 for them. Positions have 2 or 3 dimensions, of which a share above 0 hides at least
    one (least=1), or small shares would switch their masking off without a word: 0.33 hides one of 2 and one of 3.
    """
    if not (0 <= share <= 1 and 0 <= least <= of):
        raise ValueError(f"a share from 0 to 1 of at least {least} things is needed: {share} of {of}")
    return max(math.floor(share * of + 0.5), least if share > 0 else 0)


def hidden(
    strategy: Strategy,
    shape: Shape,
    share: float,
    generator: torch.Generator,
    least: int = 0,
) -> Tensor:
    """True where a value is hidden, (B, N, G) bool on the generator's device (a view: not to be written to).

    Of every cell exactly `hidden_count(share, G, least)` are hidden:

    - `random`: each cell its own, all choices equally likely;
    - `block`: a run of consecutive genes that wraps from the last to the first, the same for all cells of a
      neighbourhood, with each start equally likely;
    - `structured`: the same genes for all cells of a neighbourhood, all choices equally likely.
    """
    B, N, G = shape
    count = hidden_count(share, G, least)
    return _STRATEGIES[strategy](shape, count, generator).expand(B, N, G)


def _random(shape: Shape, count: int, generator: torch.Generator) -> Tensor:
    return _lowest(drawn(lambda shape: torch.rand(shape, generator=generator, device=generator.device), shape), count)


def _block(shape: Shape, count: int, generator: torch.Generator) -> Tensor:
    B, _, G = shape
    start_B11 = drawn(
        lambda shape: torch.randint(max(G, 1), shape, generator=generator, device=generator.device), (B, 1, 1)
    )
    return (torch.arange(G, device=generator.device) - start_B11) % max(G, 1) < count


def _structured(shape: Shape, count: int, generator: torch.Generator) -> Tensor:
    B, _, G = shape
    chance_BG = drawn(
        lambda shape: torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64), (B, G)
    )
    return _lowest(chance_BG, count)[:, None, :]


def _lowest(key_: Tensor, count: int) -> Tensor:
    """True at so many lowest keys of the last axis: by place, not by comparison, so that ties change no count."""
    places = key_.topk(count, dim=-1, largest=False, sorted=False).indices
    return torch.zeros_like(key_, dtype=torch.bool).scatter_(-1, places, True)


_STRATEGIES: dict[Strategy, Callable[[Shape, int, torch.Generator], Tensor]] = {
    "random": _random,
    "block": _block,
    "structured": _structured,
}
