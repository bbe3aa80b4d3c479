"""Estimates from measured cells as inputs of the network: see `measured_cells`.

An estimate is shown where it may be known: of a place where expression is clean, of expression where positions are.

B: neighbourhoods, N: cells, K: estimates, G: genes, S: spatial dimensions, D: model width.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pipeline.alphastomics.model.measured_cells import EXPRESSIONS, PLACES

if TYPE_CHECKING:
    from pipeline.alphastomics.model.network import Neighbourhoods, SpatialConfig

_WAVES = (0.25, 0.5, 1.0, 2.0)  # half periods in a unit of the frame: a perceptron alone learns fine patterns slowly
WAVE_FEATURES = 1 + 2 * len(_WAVES)  # of a coordinate
_OF_ALL = len(EXPRESSIONS) // 2  # estimates from cells of all types; those of the same type follow in the same order


class NearInputs(nn.Module):
    """Embeds estimates and mixes those of expression into the network's answer."""

    def __init__(self, config: "SpatialConfig") -> None:
        super().__init__()
        self.cell_types, self.genes, self.space = config.cell_types, config.genes, config.space
        width = config.dimensions
        self.places = perceptron(len(PLACES) * config.space * WAVE_FEATURES, width)
        self.expressions = nn.Linear(len(EXPRESSIONS) * config.genes, width)
        self.share = nn.Linear(width, len(EXPRESSIONS))  # of each estimate, by cell
        self.share_KG = nn.Parameter(torch.zeros(len(EXPRESSIONS), config.genes))  # ... by gene
        nn.init.zeros_(self.share.weight)

    def shown(self, cells: "Neighbourhoods", cell_type_BN: Tensor) -> "Neighbourhoods":
        """The neighbourhoods with what is to be seen of their estimates, zeros elsewhere. Where a cell's type is not
        told, estimates of its type are those of all."""
        batch, number = cells.mask_BN.shape
        place_BNKS, x_BNKG = cells.near_place_BNKS, cells.near_x_BNKG
        if place_BNKS is None:
            place_BNKS = cells.x_BNG.new_zeros(batch, number, len(PLACES), self.space)
        if x_BNKG is None:
            x_BNKG = cells.x_BNG.new_zeros(batch, number, len(EXPRESSIONS), self.genes)
        told_BN11 = (cell_type_BN < self.cell_types)[..., None, None]
        of_all_BNKG, same_type_BNKG = x_BNKG.split_with_sizes([_OF_ALL, _OF_ALL], dim=2)
        x_BNKG = torch.cat([of_all_BNKG, torch.where(told_BN11, same_type_BNKG, of_all_BNKG)], dim=2)
        place_shown, x_shown = (
            (time_B == 0)[:, None, None, None] & cells.mask_BN[..., None, None]
            for time_B in (cells.x_time_B, cells.position_time_B)
        )
        return replace(cells, near_place_BNKS=place_BNKS * place_shown, near_x_BNKG=x_BNKG * x_shown)

    def state(self, cells: "Neighbourhoods") -> Tensor:
        """What is added to the state of the cells, (B, N, D)."""
        assert cells.near_place_BNKS is not None, "as `shown` gives them"
        assert cells.near_x_BNKG is not None
        batch, number, estimates, space = cells.near_place_BNKS.shape
        along = cells.near_place_BNKS.reshape(batch, number * estimates, space) @ cells.frame_BSS.mT
        places = self.places(waves(along).reshape(batch, number, -1))
        shown_B11 = (cells.x_time_B == 0)[:, None, None]
        added_BND: Tensor = places * shown_B11 + self.expressions(cells.near_x_BNKG.flatten(2))
        return added_BND

    def expression(self, cells: "Neighbourhoods", state_BND: Tensor) -> Tensor:
        """The shares of the estimates in the answer, (B, N, G); the less, the less noise there is in expression."""
        assert cells.near_x_BNKG is not None, "as `shown` gives them"
        share_BNK = self.share(state_BND)
        mixed_BNG = torch.einsum("bnk,bnkg->bng", share_BNK, cells.near_x_BNKG)
        mixed_BNG = mixed_BNG + (cells.near_x_BNKG * self.share_KG).sum(2)
        return mixed_BNG * (1 - cells.x_signal_B)[:, None, None]


def perceptron(inputs: int, width: int) -> nn.Sequential:
    """Of one hidden layer."""
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width))


def waves(along_BNS: Tensor) -> Tensor:
    """Coordinates and waves of them, (B, N, S (1 + 2 W))."""
    angles = torch.cat([along_BNS * (torch.pi * frequency) for frequency in _WAVES], dim=-1)
    return torch.cat([along_BNS, angles.sin(), angles.cos()], dim=-1)
