"""One layer of AlphaSTomics' network: attention, a feed-forward network and a step of the positions.

B: neighbourhoods, N: cells, S: spatial dimensions, D: model width, C: width of the condition, H: heads.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pipeline.alphastomics.model.adaptive_norm import AdaptiveGate, AdaptiveNorm
from pipeline.alphastomics.model.attention import Nearness, NeighbourhoodAttention
from pipeline.alphastomics.model.measured_cells import PLACES
from pipeline.nn.moe.layer import MixtureOfExperts
from pipeline.nn.moe.routing import Routing
from pipeline.nn.share import drawn

if TYPE_CHECKING:
    from pipeline.alphastomics.model.network import Neighbourhoods, SpatialConfig

CONDITION = 32  # width of what norms and gates are told of the times
_TINY = 1e-6


class Layer(nn.Module):
    """Attention, a feed-forward network, and a step of the positions."""

    def __init__(self, config: "SpatialConfig") -> None:
        super().__init__()
        width, heads, hidden = config.dimensions, config.heads, config.hidden
        self.shared_frame = config.shared_frame
        axes = config.space if config.shared_frame else 0
        self.near = Nearness(CONDITION, heads)
        self.attention_norm = AdaptiveNorm(width, CONDITION)
        self.attention_gate = AdaptiveGate(width, CONDITION)
        self.attention = NeighbourhoodAttention(width, heads, config.attention, config.gate)
        invariants = 2 * heads * (2 + axes)  # see `_invariants`
        self.output = nn.Linear(width + invariants, width)
        self.ffn_norm = AdaptiveNorm(width, CONDITION)
        self.ffn_gate = AdaptiveGate(width, CONDITION)
        self.ffn = (
            nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
            if config.ffn == "dense"
            else MixtureOfExperts(width, hidden, config.experts, config.top_k, capacity_factor=config.capacity_factor)
        )
        # How far along each of these vectors: the heads' centres of denoised and of noised positions, the cell's own
        # two positions, the estimates of its place, the axes.
        self.estimates = len(PLACES) if config.shows_estimates else 0
        vectors = 2 * heads + 2 + self.estimates + axes
        self.step_norm = AdaptiveNorm(width, CONDITION)
        self.step = nn.Linear(width, vectors)
        nn.init.zeros_(self.step.weight)
        nn.init.zeros_(self.step.bias)

    def forward(
        self,
        x_BND: Tensor,
        position_BNS: Tensor,
        noised_BNS: Tensor,
        condition_BC: Tensor,
        cells: "Neighbourhoods",
        dropped: "Dropout",
    ) -> tuple[Tensor, Tensor, Routing | None]:
        """The new state, the step of the positions (B, N, S), and how the mixture routed, if there is one."""
        own = torch.stack([position_BNS, noised_BNS], dim=2)  # (B, N, 2, S)
        gathered = self.attention(
            self.attention_norm(x_BND, condition_BC),
            position_BNS,
            own.flatten(2),
            self.near(condition_BC),
            cells.mask_BN,
        )
        centre_BNHS = unit_scaled(gathered.vectors_BNHU.unflatten(-1, (2, -1)).flatten(2, 3), cells.mask_BN)  # 2 H
        told = torch.cat([gathered.features_BND, *self._invariants(centre_BNHS, position_BNS, cells.frame_BSS)], dim=-1)
        x_BND = x_BND + self.attention_gate(dropped(self.output(told)), condition_BC)
        y_BND, routing = self._feed_forward(self.ffn_norm(x_BND, condition_BC), cells.mask_BN)
        x_BND = x_BND + self.ffn_gate(dropped(y_BND), condition_BC)
        coefficient = self.step(self.step_norm(x_BND, condition_BC))
        vectors = torch.cat([centre_BNHS, own], dim=2)
        if self.estimates:
            assert cells.near_place_BNKS is not None, "as the network shows them"
            vectors = torch.cat([vectors, cells.near_place_BNKS], dim=2)
        step_BNS = torch.einsum("bnv,bnvs->bns", coefficient[..., : vectors.shape[2]], vectors)
        if self.shared_frame:
            step_BNS = step_BNS + coefficient[..., vectors.shape[2] :] @ cells.frame_BSS
        return x_BND, step_BNS, routing

    def _invariants(self, centre_BNHS: Tensor, position_BNS: Tensor, frame_BSS: Tensor) -> list[Tensor]:
        """What the gathered positions tell without a direction: their norms, how they lie to the cell's own position
        and, in a shared frame, their coordinates."""
        told = [length(centre_BNHS).squeeze(-1), inner_product(centre_BNHS, position_BNS[:, :, None])]
        if not self.shared_frame:
            return told
        along = centre_BNHS.flatten(1, 2) @ frame_BSS.mT  # one product, not one for each cell
        return [*told, along.reshape(*centre_BNHS.shape[:2], -1)]

    def _feed_forward(self, x_BND: Tensor, mask_BN: Tensor) -> tuple[Tensor, Routing | None]:
        if not isinstance(self.ffn, MixtureOfExperts):
            y_BND: Tensor = self.ffn(x_BND)
            return y_BND, None
        mixed = self.ffn(x_BND[mask_BN])  # only real cells: padding takes no expert's place and no share of the balance
        return torch.zeros_like(x_BND).masked_scatter(mask_BN[..., None], mixed.y_ND.to(x_BND.dtype)), mixed.routing


class Dropout:
    """Dropout whose choices come from a generator, not from the global one."""

    def __init__(self, chance: float, generator: torch.Generator | None) -> None:
        """TypeError where there is something to drop and no generator."""
        if chance > 0 and generator is None:
            raise TypeError("dropout needs a generator while the module trains")
        self.chance, self.generator = chance, generator

    def __call__(self, x: Tensor) -> Tensor:
        if self.chance == 0:
            return x
        kept = drawn(lambda shape: torch.rand(shape, generator=self.generator, device=x.device), x.shape) >= self.chance
        return x * kept / (1 - self.chance)


def length(vector: Tensor) -> Tensor:
    """Norm along the last axis, kept as one entry; smooth at 0."""
    return (inner_product(vector, vector)[..., None] + _TINY).sqrt()


def inner_product(a: Tensor, b: Tensor) -> Tensor:
    """Along the last axis, which is short: a sum over it would take as long as ten over a long one."""
    first, *rest = (x * y for x, y in zip(a.unbind(-1), b.unbind(-1), strict=True))
    return sum(rest, first)


def unit_scaled(centre_BNHS: Tensor, mask_BN: Tensor) -> Tensor:
    """Each head's centres over their root mean square norm in the neighbourhood: means of noise are short, and one
    factor for all cells keeps directions and what is far apart."""
    batch, _, heads, dimensions = centre_BNHS.shape
    flat = centre_BNHS.flatten(2) * mask_BN[..., None]  # (B, N, H S): passes over a long last axis
    square_BH = flat.square().sum(1).view(batch, heads, dimensions).sum(2) / mask_BN.sum(1)[:, None]
    factor = (square_BH + _TINY).rsqrt().repeat_interleave(dimensions, dim=1)  # (B, H S)
    return (flat * factor[:, None]).view_as(centre_BNHS)
