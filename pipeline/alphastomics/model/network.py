"""AlphaSTomics: the network that denoises expression and position of the cells of a neighbourhood together.

Expression and everything computed from it is invariant under a rotation, reflection or translation of the positions,
and under a reordering of the cells it moves along; positions move along with all of them. That holds by construction:
positions enter as norms and inner products only, and leave as sums of vectors that are equivariant themselves (weighted
means of positions, the position of the cell, and, where it is told, the axes of a frame). Where sections share a frame
(the same axis is the same direction of the tissue in each), its axes are an input like the positions, and must be moved
with them; without one, the network has no notion of direction. Satorras et al., "E(n) equivariant graph neural
networks" (2021) for the update of positions; here it goes over all cells by attention.

B: neighbourhoods, N: cells, G: genes, S: spatial dimensions, D: model width, C: width of the condition, H: heads.
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from pipeline.alphastomics.model.adaptive_norm import AdaptiveGate, AdaptiveNorm
from pipeline.alphastomics.model.attention import AttentionKind, GateKind, Nearness, NeighbourhoodAttention
from pipeline.alphastomics.model.diffusion import centred
from pipeline.nn.layers import CovariateEmbedding, sinusoidal
from pipeline.nn.model_config import ModelConfig
from pipeline.nn.moe.layer import MixtureOfExperts
from pipeline.nn.moe.routing import Routing
from pipeline.nn.share import drawn

_TINY = 1e-6
_TIME_FEATURES = 32
_WAVES = (0.25, 0.5, 1.0, 2.0)  # half periods in a unit of the frame: a perceptron alone learns fine patterns slowly
_SECTION_DROPOUT = 0.5  # chance that a section is shown as unknown: a section asked about mostly is
_CONDITION = 32  # width of what norms and gates are told of the times


@dataclass(frozen=True)
class Neighbourhoods:
    """The input: B neighbourhoods of at most N cells."""

    x_BNG: Tensor  # standardised expression, noised
    position_BNS: Tensor  # centred over the cells of the neighbourhood, noised; 0 where there is no cell
    x_time_B: Tensor  # diffusion time of expression over the number of steps, 0 (clean) to 1 (noise)
    position_time_B: Tensor
    mask_BN: Tensor  # true where there is a cell
    cell_type_BN: Tensor  # int64 codes; the number of categories or more: unknown
    section_B: Tensor  # int64 codes; the same
    frame_BSS: Tensor  # the axes, orthonormal rows: those of the data, unless a test moves them
    x_signal_B: Tensor  # the share of clean expression in the noised one, sqrt(alpha_bar)
    position_signal_B: Tensor
    hidden_BNG: Tensor | None = None  # true where a gene is hidden by a mask token
    hidden_BNS: Tensor | None = None  # true where the coordinate along an axis is hidden

    def with_noised(self, x_BNG: Tensor, position_BNS: Tensor) -> "Neighbourhoods":
        """The same neighbourhoods at other values."""
        return replace(self, x_BNG=x_BNG, position_BNS=position_BNS)


class Denoised(NamedTuple):
    """The network's estimate of its target (x0 or v) in both modalities."""

    x_BNG: Tensor
    position_BNS: Tensor  # centred; 0 where there is no cell
    routings: list[Routing]  # of the mixture layers, over real cells; empty where they are dense


class SpatialConfig(ModelConfig):
    """`space`: spatial dimensions, 2 or 3. `dimensions`: width of the state. `hidden`: width of the dense feed-forward
    network, which experts share. The other fields are parameters of `alphastomics.diffusion` and sizes of the data."""

    genes: int
    space: int
    cell_types: int
    sections: int
    dimensions: int
    layers: int
    heads: int
    hidden: int
    attention: AttentionKind = "softmax"
    gate: GateKind = "none"
    ffn: Literal["dense", "moe"] = "dense"
    experts: int = 4
    top_k: int = 2
    capacity_factor: float | None = None
    orientation: Literal["shared", "free"] = "shared"
    dropout: float = 0.0
    covariate_dropout: float = 0.0

    @property
    def shared_frame(self) -> bool:
        """Whether an axis is the same direction of the tissue in all sections."""
        return self.orientation == "shared"


class SpatialDiffusion(nn.Module):
    """A transformer over the cells of a neighbourhood; see the module's docstring."""

    def __init__(self, config: SpatialConfig) -> None:
        super().__init__()
        self.config = config
        self.shared_frame = config.shared_frame
        genes, space, width = config.genes, config.space, config.dimensions
        self.expression = nn.Linear(genes, width)
        self.gene_token = nn.Parameter(torch.zeros(genes))  # stands for a hidden gene
        self.coordinate_token = nn.Parameter(torch.zeros(space))  # ... for a hidden coordinate
        self.place = nn.Sequential(
            nn.Linear(1 + (space * (1 + 2 * len(_WAVES)) if config.shared_frame else 0), width),
            nn.SiLU(),
            nn.Linear(width, width),
        )
        self.cell_type = CovariateEmbedding(config.cell_types, width)
        self.section = CovariateEmbedding(config.sections, width)
        self.time = nn.Sequential(
            nn.Linear(2 * _TIME_FEATURES + 2, width), nn.SiLU(), nn.Linear(width, _CONDITION), nn.SiLU()
        )
        self.state_of_time = nn.Linear(_CONDITION, width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = AdaptiveNorm(width, _CONDITION)
        self.to_genes = nn.Linear(width, genes)
        nn.init.zeros_(self.to_genes.weight)

    def forward(self, cells: Neighbourhoods, generator: torch.Generator | None = None) -> Denoised:
        """Estimate; `generator` decides what is dropped while the module trains."""
        mask_BN1 = cells.mask_BN[..., None]
        # Each modality is shown by its share of signal: what is noise does not drown what is known.
        x_BNG = cells.x_BNG * cells.x_signal_B[:, None, None]
        if cells.hidden_BNG is not None:
            x_BNG = torch.where(cells.hidden_BNG, self.gene_token, x_BNG)
        noised_BNS = cells.position_BNS
        if cells.hidden_BNS is not None:
            along_BNS = torch.where(cells.hidden_BNS, self.coordinate_token, noised_BNS @ cells.frame_BSS.mT)
            noised_BNS = along_BNS @ cells.frame_BSS
        noised_BNS = centred(noised_BNS, cells.mask_BN)
        position_BNS = noised_BNS * cells.position_signal_B[:, None, None]
        condition_BC = self.time(_times(cells.x_time_B, cells.position_time_B))
        section_BD = self.section(self._told(cells.section_B, _SECTION_DROPOUT, generator))
        state_BND = (
            self.expression(x_BNG)
            + self.place(self._place(position_BNS, cells.frame_BSS))
            + self.cell_type(self._told(cells.cell_type_BN, self.config.covariate_dropout, generator))
            + (self.state_of_time(condition_BC) + section_BD)[:, None]
        )
        routings: list[Routing] = []
        for layer in self.layers:
            state_BND, step_BNS, routing = layer(
                state_BND, position_BNS, noised_BNS, condition_BC, cells, self._dropped(generator)
            )
            position_BNS = position_BNS + centred(_allowed(step_BNS, cells), cells.mask_BN)
            routings += [routing] if routing is not None else []
        out_BND = self.norm(state_BND, condition_BC)
        return Denoised(self.to_genes(out_BND) * mask_BN1, position_BNS, routings)

    def _place(self, position_BNS: Tensor, frame_BSS: Tensor) -> Tensor:
        """Invariants of a cell's own position: its norm and, in a shared frame, its coordinates and waves of them."""
        norm_BN1 = length(position_BNS)
        if not self.shared_frame:
            return norm_BN1
        along_BNS = position_BNS @ frame_BSS.mT
        angles = torch.cat([along_BNS * (torch.pi * frequency) for frequency in _WAVES], dim=-1)
        return torch.cat([norm_BN1, along_BNS, angles.sin(), angles.cos()], dim=-1)

    def _told(self, code: Tensor, chance: float, generator: torch.Generator | None) -> Tensor:
        """Codes, in training unknown for a whole neighbourhood at a time: that is how they are unknown in use."""
        if not self.training or chance == 0:
            return code
        if generator is None:
            raise TypeError("covariate dropout needs a generator while the module trains")
        one_each = (len(code), *(1,) * (code.dim() - 1))
        drawn_chance = drawn(lambda shape: torch.rand(shape, generator=generator, device=code.device), one_each)
        return code.masked_fill(drawn_chance < chance, torch.iinfo(torch.int64).max)

    def _dropped(self, generator: torch.Generator | None) -> "Dropout":
        return Dropout(self.config.dropout if self.training else 0.0, generator)


class Layer(nn.Module):
    """Attention, a feed-forward network, and a step of the positions."""

    def __init__(self, config: SpatialConfig) -> None:
        super().__init__()
        width, heads, hidden = config.dimensions, config.heads, config.hidden
        self.shared_frame = config.shared_frame
        axes = config.space if config.shared_frame else 0
        self.near = Nearness(_CONDITION, heads)
        self.attention_norm = AdaptiveNorm(width, _CONDITION)
        self.attention_gate = AdaptiveGate(width, _CONDITION)
        self.attention = NeighbourhoodAttention(width, heads, config.attention, config.gate)
        invariants = 2 * heads * (2 + axes)  # see `_invariants`
        self.output = nn.Linear(width + invariants, width)
        self.ffn_norm = AdaptiveNorm(width, _CONDITION)
        self.ffn_gate = AdaptiveGate(width, _CONDITION)
        self.ffn = (
            nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
            if config.ffn == "dense"
            else MixtureOfExperts(width, hidden, config.experts, config.top_k, capacity_factor=config.capacity_factor)
        )
        # How far along each of these vectors: the heads' centres of denoised and of noised positions, the cell's own
        # two positions, the axes.
        vectors = 2 * heads + 2 + axes
        self.step_norm = AdaptiveNorm(width, _CONDITION)
        self.step = nn.Linear(width, vectors)
        nn.init.zeros_(self.step.weight)
        nn.init.zeros_(self.step.bias)

    def forward(
        self,
        x_BND: Tensor,
        position_BNS: Tensor,
        noised_BNS: Tensor,
        condition_BC: Tensor,
        cells: Neighbourhoods,
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


def _allowed(step_BNS: Tensor, cells: Neighbourhoods) -> Tensor:
    """What is clean stays where it is, but for the coordinates that are hidden: these are to be found."""
    noised_B11 = (cells.position_time_B > 0)[:, None, None]
    if cells.hidden_BNS is None:
        return step_BNS * noised_B11
    along_BNS = (step_BNS @ cells.frame_BSS.mT) * (noised_B11 | cells.hidden_BNS)
    return along_BNS @ cells.frame_BSS


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


def _times(x_time_B: Tensor, position_time_B: Tensor) -> Tensor:
    """Both times as waves, and whether each modality is noised at all."""
    clean = torch.stack([x_time_B > 0, position_time_B > 0], dim=1).to(x_time_B.dtype)
    return torch.cat([sinusoidal(x_time_B, _TIME_FEATURES), sinusoidal(position_time_B, _TIME_FEATURES), clean], dim=1)
