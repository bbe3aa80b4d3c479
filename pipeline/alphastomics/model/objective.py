"""The training objective: neighbourhoods noised in one or both modalities, with parts of them masked.

B: neighbourhoods, N: cells, G: genes, S: spatial dimensions, M: cells drawn for the loss on pairs.
"""

from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from pipeline.alphastomics.model.diffusion import Schedule, position_noise
from pipeline.alphastomics.model.layout_loss import neighbour_divergence, some_cells, squared_distances, stress
from pipeline.alphastomics.model.masking import hidden
from pipeline.alphastomics.model.network import Denoised, Neighbourhoods, SpatialDiffusion
from pipeline.nn.moe.balance import switch
from pipeline.nn.share import drawn, totals

MODES = ("joint", "expr_to_pos", "pos_to_expr")
PAIRED_CELLS = 256  # of a neighbourhood, whose pairs a step looks at


class CleanBatch(Protocol):
    """Clean neighbourhoods, as pipeline.alphastomics.data.neighbourhoods makes them."""

    @property
    def x_BNG(self) -> Tensor:
        """Standardised expression."""

    @property
    def position_BNS(self) -> Tensor:
        """Positions: in the frame that is shared, or centred."""

    @property
    def mask_BN(self) -> Tensor:
        """True where there is a cell."""

    @property
    def cell_type_BN(self) -> Tensor:
        """Codes."""

    @property
    def section_B(self) -> Tensor:
        """Codes."""

    @property
    def near_place_BNKS(self) -> Tensor | None:
        """Estimates of positions from measured cells, where they are shown."""

    @property
    def near_x_BNKG(self) -> Tensor | None:
        """Estimates of expression; the same."""


@dataclass(frozen=True)
class Noising:
    """The two schedules, and what the network predicts."""

    expression: Schedule
    position: Schedule
    prediction: str  # x0 or v

    @classmethod
    def of(cls, steps: int, expression_exponent: float, position_exponent: float, prediction: str) -> Self:
        return cls(Schedule(steps, expression_exponent), Schedule(steps, position_exponent), prediction)

    def clean(self, found: Denoised, cells: Neighbourhoods, x_time_B: Tensor, position_time_B: Tensor) -> Denoised:
        """The estimate of x0 that the network's answer amounts to, whatever it predicts.

        Of what is hidden the network has seen nothing, whatever the time: there v is what it is at pure noise, -x0.
        """
        if self.prediction == "x0":
            return found
        x_BNG = self.expression.x0_from_v(cells.x_BNG, found.x_BNG, x_time_B)
        position_BNS = self.position.x0_from_v(cells.position_BNS, found.position_BNS, position_time_B)
        if cells.hidden_BNG is not None:
            x_BNG = torch.where(cells.hidden_BNG, -found.x_BNG, x_BNG)
        if cells.hidden_BNS is not None:
            along_BNS, v_BNS = (value @ cells.frame_BSS.mT for value in (position_BNS, found.position_BNS))
            position_BNS = torch.where(cells.hidden_BNS, -v_BNS, along_BNS) @ cells.frame_BSS
        return found._replace(x_BNG=x_BNG, position_BNS=position_BNS)


class SpatialObjective(nn.Module):
    """The loss: expression + position + hidden parts + balance of experts.

    Expression: squared error of standardised log-normalised expression (pipeline.alphastomics.data.standardised), the
    mean over cells and genes, where expression is noised. Position: stress and neighbour divergence of distances; where
    sections share a frame, also the squared error of coordinates, the mean over cells and axes; where positions are
    noised. Hidden parts: the squared error of their clean values. Times t are uniform on 1 ... T, but for a share at T
    itself: there a sampler decides on the layout, and the estimate is the one to use where no sample is asked for.
    """

    def __init__(
        self,
        model: SpatialDiffusion,
        noising: Noising,
        *,
        modes: dict[str, float],
        noise_share: float,
        condition_dropout: float,
        position_weight: float,
        neighbour_weight: float,
        masking: str,
        masked_genes: float,
        masked_dimensions: float,
        masked_weight: float,
        balance_weight: float,
    ) -> None:
        super().__init__()
        self.model, self.noising = model, noising
        self.mode_chances = [modes[mode] for mode in MODES]
        self.noise_share, self.condition_dropout = noise_share, condition_dropout
        self.position_weight, self.neighbour_weight = position_weight, neighbour_weight
        self.masking, self.masked_genes, self.masked_dimensions = masking, masked_genes, masked_dimensions
        self.masked_weight, self.balance_weight = masked_weight, balance_weight

    def forward(self, batch: CleanBatch, generator: torch.Generator) -> dict[str, Tensor]:
        """`loss` and its parts; a part that no neighbourhood of the batch asks for is 0."""
        x_time_B, position_time_B = self._times(len(batch.section_B), generator, batch.section_B.device)
        cells = self._noised(batch, x_time_B, position_time_B, generator)
        answer = self.model(cells, generator if self.training else None)
        found = self.noising.clean(answer, cells, x_time_B, position_time_B)
        x_error_BNG = (found.x_BNG - batch.x_BNG).square()
        real_BN1 = batch.mask_BN[..., None]
        noised_B = x_time_B > 0
        parts = {"expression": mean_where(x_error_BNG, real_BN1 & noised_B[:, None, None])}
        parts |= self._position(found, batch, position_time_B > 0, generator)
        if self.masking != "none":
            parts["hidden"] = torch.zeros_like(parts["expression"])  # nothing is hidden in validation
        if cells.hidden_BNG is not None and cells.hidden_BNS is not None:
            along_BNS = ((found.position_BNS - batch.position_BNS) @ cells.frame_BSS.mT).square()
            # Without a frame, what is left of the positions is all that tells a direction.
            told = 1.0 if self.model.shared_frame else cells.position_signal_B[:, None, None] ** 2
            parts["hidden"] = mean_where(x_error_BNG, cells.hidden_BNG & real_BN1) + mean_where(
                along_BNS * told, cells.hidden_BNS & real_BN1
            )
        if found.routings:
            parts["balance"] = torch.stack([switch(routing) for routing in found.routings]).mean()
        weights = {
            "expression": 1.0,
            "stress": self.position_weight,
            "neighbours": self.position_weight * self.neighbour_weight,
            "frame": self.position_weight,
            "hidden": self.masked_weight,
            "balance": self.balance_weight,
        }
        return {"loss": torch.stack([weights[name] * part for name, part in parts.items()]).sum(), **parts}

    def _times(self, size: int, generator: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
        """Times of expression and position, (B,) each: 0 for what a mode conditions on, T where the condition is not
        shown (pure noise says nothing, which is what guidance compares with)."""
        steps = self.noising.position.steps
        chances = torch.tensor(self.mode_chances, device=device)
        mode_B = drawn(
            lambda shape: torch.multinomial(chances, shape[0], replacement=True, generator=generator), (size,)
        )
        time_B = drawn(lambda shape: torch.randint(1, steps + 1, shape, generator=generator, device=device), (size,))
        at_noise_B, unshown_B = drawn(
            lambda shape: torch.rand(shape, generator=generator, device=device), (2, size), axis=1
        )
        time_B = torch.where(at_noise_B < self.noise_share, steps, time_B)
        condition_B = torch.where(unshown_B < self.condition_dropout, steps, 0) * int(self.training)
        x_time_B = torch.where(mode_B == MODES.index("expr_to_pos"), condition_B, time_B)
        return x_time_B, torch.where(mode_B == MODES.index("pos_to_expr"), condition_B, time_B)

    def _noised(
        self, batch: CleanBatch, x_time_B: Tensor, position_time_B: Tensor, generator: torch.Generator
    ) -> Neighbourhoods:
        dimensions = batch.position_BNS.shape[2]
        noise_BNG = drawn(
            lambda shape: torch.randn(shape, generator=generator, device=batch.x_BNG.device), batch.x_BNG.shape
        )
        noise_BNS = position_noise(batch.mask_BN, dimensions, generator, self.model.shared_frame)
        hidden_BNG = hidden_BNS = None
        if self.training and self.masking != "none":
            hidden_BNG = hidden(self.masking, tuple(batch.x_BNG.shape), self.masked_genes, generator)  # type: ignore[arg-type]
            hidden_BNS = hidden(
                self.masking,  # type: ignore[arg-type]
                tuple(batch.position_BNS.shape),  # type: ignore[arg-type]
                self.masked_dimensions,
                generator,
                least=1,
            )
        return shown(
            batch,
            self.noising,
            self.noising.expression.noised(batch.x_BNG, noise_BNG, x_time_B) * batch.mask_BN[..., None],
            self.noising.position.noised(batch.position_BNS, noise_BNS, position_time_B),
            x_time_B,
            position_time_B,
            hidden_BNG,
            hidden_BNS,
        )

    def _position(
        self, found: Denoised, batch: CleanBatch, noised_B: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        chosen_BM = some_cells(batch.mask_BN, PAIRED_CELLS, generator)
        mask_BM = batch.mask_BN.gather(1, chosen_BM) & noised_B[:, None]
        predicted, true = (
            squared_distances(position.gather(1, chosen_BM[..., None].expand(-1, -1, position.shape[2])))
            for position in (found.position_BNS, batch.position_BNS)
        )
        parts = {
            "stress": stress(predicted, true, mask_BM),
            "neighbours": neighbour_divergence(predicted, true, mask_BM),
        }
        if self.model.shared_frame:
            error_BNS = (found.position_BNS - batch.position_BNS).square()
            parts["frame"] = mean_where(error_BNS, batch.mask_BN[..., None] & noised_B[:, None, None])
        return parts


def shown(
    batch: CleanBatch,
    noising: Noising,
    x_BNG: Tensor,
    position_BNS: Tensor,
    x_time_B: Tensor,
    position_time_B: Tensor,
    hidden_BNG: Tensor | None = None,
    hidden_BNS: Tensor | None = None,
) -> Neighbourhoods:
    """What the network is shown of a batch at these values and times, in the frame of the data."""
    steps, like = noising.position.steps, batch.position_BNS
    frame_SS = torch.eye(like.shape[2], dtype=like.dtype, device=like.device)
    return Neighbourhoods(
        x_BNG,
        position_BNS,
        x_time_B.to(like.dtype) / steps,
        position_time_B.to(like.dtype) / steps,
        batch.mask_BN,
        batch.cell_type_BN,
        batch.section_B,
        frame_SS.expand(len(like), -1, -1),
        noising.expression.alpha_bar(x_time_B).sqrt().to(like.dtype),
        noising.position.alpha_bar(position_time_B).sqrt().to(like.dtype),
        hidden_BNG,
        hidden_BNS,
        batch.near_place_BNKS,
        batch.near_x_BNKG,
    )


def mean_where(value: Tensor, where: Tensor) -> Tensor:
    """Mean of the entries where a mask that broadcasts is true; 0 where there are none."""
    entries = value.numel() // where.numel()
    for axis, size in enumerate(where.shape):  # what the mask does not tell apart is added up first
        if size == 1:
            value = value.sum(axis, keepdim=True)
    amount, places = totals(torch.where(where, value, 0).sum(), where.sum())
    return amount / (places * entries).clamp(min=1)
