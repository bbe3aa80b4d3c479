"""AlphaSTomics: the network that denoises expression and position of the cells of a neighbourhood together.

Without a frame, expression and everything computed from it is invariant under a rotation, reflection or translation of
the positions, and under a reordering of the cells it moves along; positions move along with all of them. That holds by
construction: positions are centred over the neighbourhood, enter as norms and inner products only, and leave as sums of
vectors that are equivariant themselves (weighted means of positions, the position of the cell). Where sections share a
frame (the same axis is the same direction of the tissue in each), positions keep its origin, so that the network knows
where in the tissue a neighbourhood lies; its axes are an input like the positions, and must be turned with them.
Satorras et al., "E(n) equivariant graph neural networks" (2021) for the update of positions; here it goes over all
cells by attention.

B: neighbourhoods, N: cells, G: genes, S: spatial dimensions, D: model width, C: width of the condition, H: heads.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from pipeline.alphastomics.model.adaptive_norm import AdaptiveNorm
from pipeline.alphastomics.model.attention import AttentionKind, GateKind
from pipeline.alphastomics.model.diffusion import based
from pipeline.alphastomics.model.layer import CONDITION, Dropout, Layer, length
from pipeline.alphastomics.model.near_inputs import WAVE_FEATURES, NearInputs, perceptron, waves
from pipeline.nn.layers import CovariateEmbedding, sinusoidal
from pipeline.nn.model_config import ModelConfig
from pipeline.nn.moe.routing import Routing
from pipeline.nn.share import drawn

_TIME_FEATURES = 32
_SECTION_DROPOUT = 0.5  # chance that a section is shown as unknown: a section asked about mostly is


@dataclass(frozen=True)
class Neighbourhoods:
    """The input: B neighbourhoods of at most N cells."""

    x_BNG: Tensor  # standardised expression, noised
    position_BNS: Tensor  # noised; centred over the neighbourhood where no frame is shared; 0 where there is no cell
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
    # Estimates from measured cells, K each: looked at where expression, or position, is clean.
    near_place_BNKS: Tensor | None = None
    near_x_BNKG: Tensor | None = None


class Denoised(NamedTuple):
    """The network's estimate of its target (x0 or v) in both modalities."""

    x_BNG: Tensor
    position_BNS: Tensor  # centred where no frame is shared; 0 where there is no cell
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
    estimates: Literal["measured", "none"] = "none"
    measured: int = 0  # cells that the model keeps for estimates
    dropout: float = 0.0
    covariate_dropout: float = 0.0

    @property
    def shared_frame(self) -> bool:
        """Whether a place of the frame is the same place of the tissue in all sections."""
        return self.orientation == "shared"

    @property
    def shows_estimates(self) -> bool:
        """Whether estimates from measured cells are inputs, which takes a frame that they share with others."""
        return self.shared_frame and self.estimates == "measured"


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
        self.place = perceptron(1 + (space * WAVE_FEATURES if config.shared_frame else 0), width)
        self.cell_type = CovariateEmbedding(config.cell_types, width)
        self.section = CovariateEmbedding(config.sections, width)
        self.time = nn.Sequential(
            nn.Linear(2 * _TIME_FEATURES + 2, width), nn.SiLU(), nn.Linear(width, CONDITION), nn.SiLU()
        )
        self.state_of_time = nn.Linear(CONDITION, width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = AdaptiveNorm(width, CONDITION)
        self.to_genes = nn.Linear(width, genes)
        nn.init.zeros_(self.to_genes.weight)
        if config.shows_estimates:
            self.near = NearInputs(config)
        for name, shape, dtype in _kept(config) if config.measured else ():
            self.register_buffer(name, torch.zeros(shape, dtype=dtype))

    def keep(self, x_MG: Tensor, position_MS: Tensor, cell_type_M: Tensor) -> None:
        """Keep these measured cells for estimates, as a part of what is saved."""
        self.config = self.config.model_copy(update={"measured": len(x_MG)})
        kept = (x_MG, position_MS, cell_type_M)
        for (name, shape, dtype), value in zip(_kept(self.config), kept, strict=True):
            self.register_buffer(name, value.to(dtype).reshape(shape))

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
        noised_BNS = based(noised_BNS, cells.mask_BN, self.shared_frame)
        position_BNS = noised_BNS * cells.position_signal_B[:, None, None]
        section_BD = self.section(self._told(cells.section_B, _SECTION_DROPOUT, generator))
        cell_type_BN = self._told(cells.cell_type_BN, self.config.covariate_dropout, generator)
        if self.config.shows_estimates:
            cells = self.near.shown(cells, cell_type_BN)
            assert cells.near_place_BNKS is not None, "shown, or zeros"
            noise_B11 = (1 - cells.position_signal_B)[:, None, None]
            position_BNS = position_BNS + noise_B11 * cells.near_place_BNKS.mean(2)
        condition_BC = self.time(_times(cells.x_time_B, cells.position_time_B))
        state_BND = (
            self.expression(x_BNG)
            + self.place(self._place(position_BNS, cells.frame_BSS))
            + self.cell_type(cell_type_BN)
            + (self.state_of_time(condition_BC) + section_BD)[:, None]
        )
        if self.config.shows_estimates:
            state_BND = state_BND + self.near.state(cells)
        routings: list[Routing] = []
        for layer in self.layers:
            state_BND, step_BNS, routing = layer(
                state_BND, position_BNS, noised_BNS, condition_BC, cells, self._dropped(generator)
            )
            position_BNS = position_BNS + based(_allowed(step_BNS, cells), cells.mask_BN, self.shared_frame)
            routings += [routing] if routing is not None else []
        out_BND = self.norm(state_BND, condition_BC)
        x_BNG = self.to_genes(out_BND)
        if self.config.shows_estimates:
            x_BNG = x_BNG + self.near.expression(cells, out_BND)
        return Denoised(x_BNG * mask_BN1, position_BNS, routings)

    def _place(self, position_BNS: Tensor, frame_BSS: Tensor) -> Tensor:
        """Invariants of a cell's own position: its norm and, in a shared frame, its coordinates and waves of them."""
        norm_BN1 = length(position_BNS)
        if not self.shared_frame:
            return norm_BN1
        return torch.cat([norm_BN1, waves(position_BNS @ frame_BSS.mT)], dim=-1)

    def _told(self, code: Tensor, chance: float, generator: torch.Generator | None) -> Tensor:
        """Codes, in training unknown for a whole neighbourhood at a time: that is how they are unknown in use."""
        if not self.training or chance == 0:
            return code
        if generator is None:
            raise TypeError("covariate dropout needs a generator while the module trains")
        one_each = (len(code), *(1,) * (code.dim() - 1))
        drawn_chance = drawn(lambda shape: torch.rand(shape, generator=generator, device=code.device), one_each)
        return code.masked_fill(drawn_chance < chance, torch.iinfo(torch.int64).max)

    def _dropped(self, generator: torch.Generator | None) -> Dropout:
        return Dropout(self.config.dropout if self.training else 0.0, generator)


def _kept(config: SpatialConfig) -> list[tuple[str, tuple[int, ...], torch.dtype]]:
    """Name, shape and type of each buffer of measured cells."""
    cells = config.measured
    return [
        ("measured_x_MG", (cells, config.genes), torch.float32),
        ("measured_position_MS", (cells, config.space), torch.float32),
        ("measured_type_M", (cells,), torch.int64),
    ]


def _allowed(step_BNS: Tensor, cells: Neighbourhoods) -> Tensor:
    """What is clean stays where it is, but for the coordinates that are hidden: these are to be found."""
    noised_B11 = (cells.position_time_B > 0)[:, None, None]
    if cells.hidden_BNS is None:
        return step_BNS * noised_B11
    along_BNS = (step_BNS @ cells.frame_BSS.mT) * (noised_B11 | cells.hidden_BNS)
    return along_BNS @ cells.frame_BSS


def _times(x_time_B: Tensor, position_time_B: Tensor) -> Tensor:
    """Both times as waves, and whether each modality is noised at all."""
    clean = torch.stack([x_time_B > 0, position_time_B > 0], dim=1).to(x_time_B.dtype)
    return torch.cat([sinusoidal(x_time_B, _TIME_FEATURES), sinusoidal(position_time_B, _TIME_FEATURES), clean], dim=1)
