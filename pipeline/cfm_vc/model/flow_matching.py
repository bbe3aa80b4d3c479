"""The loss that trains the flow field on pairs of latents.

B: cells, D: dimensions of z_int, P: treatments, S: spatial coordinates.
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from pipeline.cfm_vc.model.energy_distance import grouped_energy_distance
from pipeline.cfm_vc.model.flow import FlowField
from pipeline.nn.share import drawn, everywhere, whole_of


@dataclass(frozen=True)
class FlowBatch:
    """Pairs of latents with their covariates; everything but `rows` is on the training device."""

    rows: Tensor  # (B,) int64, on the CPU: indices of the target cells in the split
    source_BD: Tensor
    target_BD: Tensor
    p_BP: Tensor  # doses
    cell_type_B: Tensor  # int64 codes
    batch_B: Tensor  # int64 codes
    group_B: Tensor  # int64: cells of one sample share a perturbation and context
    place_BS: Tensor | None = None  # of the target cells

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, first: int, count: int) -> Self:
        """The minibatch of these of its pairs."""
        chosen = slice(first, first + count)
        values: dict[str, Any] = {name: None if value is None else value[chosen] for name, value in vars(self).items()}
        return type(self)(**values)


class FlowObjective(nn.Module):
    """Flow matching (Lipman et al., 2023; Tong et al., 2023) plus a distance between populations.

    z_t = (1−t) z_0 + t z_1 with t uniform per cell; `flow_matching` is the mean over cells of |v(z_t, t) − (z_1 −
    z_0)|². `distribution` is the energy distance between ẑ_1 = z_t + (1−t) v(z_t, t), the one-step prediction of the
    field, and the encoded z_1, per sample of one perturbation and context.

    In training, a cell's perturbation is dropped with probability `perturbation_dropout`. At 0 the base field is that
    of controls; above 0 it is the unconditional field of classifier-free guidance; at 1 the perturbation is never
    learned, an ablation.
    """

    def __init__(self, model: FlowField, distribution_weight: float, perturbation_dropout: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self.distribution_weight = distribution_weight
        self.perturbation_dropout = perturbation_dropout

    def forward(self, batch: FlowBatch, generator: torch.Generator) -> dict[str, Tensor]:
        """`loss` and its parts."""
        device = batch.source_BD.device
        t_B = drawn(lambda shape: torch.rand(shape, generator=generator, device=device), (len(batch),))
        z_BD = torch.lerp(batch.source_BD, batch.target_BD, t_B[:, None])
        p_BP = batch.p_BP
        if self.training and self.perturbation_dropout > 0:
            chance_B = drawn(lambda shape: torch.rand(shape, generator=generator, device=device), (len(batch),))
            p_BP = p_BP * (chance_B >= self.perturbation_dropout)[:, None]
        condition = self.model.condition(p_BP, batch.cell_type_B, batch.batch_B, batch.place_BS, generator)
        velocity_BD = self.model(z_BD, t_B, condition)
        error = (velocity_BD - (batch.target_BD - batch.source_BD)).square().sum(dim=1).mean()
        parts = {"flow_matching": error}
        if self.distribution_weight > 0:
            reached_BD = z_BD + (1 - t_B[:, None]) * velocity_BD
            ((reached_BD,), _), whole = everywhere(reached_BD), whole_of(batch)
            parts["distribution"] = grouped_energy_distance(reached_BD, whole.target_BD, whole.group_B)
            return {"loss": error + self.distribution_weight * parts["distribution"], **parts}
        return {"loss": error, **parts}
