"""Mixture of linear experts that differ in their seasonal cycle, weighted anew for each row that is forecast.

B: windows, C: channels, L: rows of the lookback, H: rows of the horizon, E: experts, D: groups of seasons, S: rows of a
season. Sources: see `cycles`.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.mole.data.calendar_place import Calendar, calendar_of
from pipeline.mole.data.resident_windows import WindowBatch
from pipeline.mole.data.step import Step
from pipeline.mole.model.cycles import Cycles
from pipeline.mole.model.mixture import Heads
from pipeline.nn.model_config import ModelConfig


class CycleConfig(ModelConfig):
    """The step of the series, as `Step.described` gives it, is one of the two."""

    lookback: int
    horizon: int
    channels: int
    experts: int = 1
    backbone: Literal["cycle"] = "cycle"
    step_seconds: int | None = None
    step_calendar: str | None = None

    def calendar(self) -> Calendar:
        """Of the series. ExpectedError where the step is not one of this version."""
        given = {"step_seconds": self.step_seconds, "step_calendar": self.step_calendar}
        return calendar_of(Step.restored({name: value for name, value in given.items() if value is not None}))


class CycleMixture(nn.Module):
    """The forecast of expert e is W (x - c) + q_e, with c what the mixture expects of the window's rows by their time,
    W one map for each channel, and q_e the cycle of e at the rows of the horizon. Experts are weighted row by row, by
    the time of the row that is forecast."""

    def __init__(self, config: CycleConfig) -> None:
        super().__init__()
        self.config, self.calendar = config, config.calendar()
        self.lookback, self.horizon, self.channels, self.experts = (
            config.lookback,
            config.horizon,
            config.channels,
            config.experts,
        )
        self.routed_row = config.lookback
        channels, (_, season, groups) = config.channels, self.calendar
        self.weight_CHL = nn.Parameter(torch.zeros(channels, config.horizon, config.lookback))
        self.cycle_CES = nn.Parameter(torch.zeros(channels, config.experts, season))
        self.logit_CDE = nn.Parameter(torch.zeros(channels, groups, config.experts))

    @classmethod
    def of(cls, cycles: Cycles, weight_CHL: Tensor, step: Step) -> "CycleMixture":
        """With these cycles, gates and maps."""
        channels, horizon, lookback = weight_CHL.shape
        sizes = {"lookback": lookback, "horizon": horizon, "channels": channels, "experts": cycles.cycle_CES.shape[1]}
        model = cls(CycleConfig.model_validate(sizes | step.described()))
        with torch.no_grad():
            model.weight_CHL.copy_(weight_CHL)
            model.cycle_CES.copy_(cycles.cycle_CES)
            model.logit_CDE.copy_(cycles.logit_CDE)
        return model.eval()

    def forward(self, batch: WindowBatch) -> Tensor:
        """(B, C, H), in the scale of x."""
        heads, logit_BCEH = self.asked(batch)
        return self.mixed(heads, self.weights_of(logit_BCEH))

    def forecast(self, batch: WindowBatch) -> Tensor:
        """The same."""
        forecast_BCH: Tensor = self(batch)
        return forecast_BCH

    def asked(self, batch: WindowBatch) -> tuple[Heads, Tensor]:
        """What the experts forecast, and their logits (B, C, E, H), which differ from row to row."""
        place_BT = self._places(batch.stamp_B)
        target_BH = place_BT[:, self.lookback :]
        expected_CP = Cycles(self.logit_CDE, self.cycle_CES).expected()
        x_CBL = batch.x_BCL.transpose(0, 1) - expected_CP[:, place_BT[:, : self.lookback]]
        y_BCH = (x_CBL @ self.weight_CHL.mT).transpose(0, 1)
        cycle_BCEH = self.cycle_CES[:, :, target_BH % self.calendar.season].permute(2, 0, 1, 3)
        logit_BCEH = self.logit_CDE[:, target_BH // self.calendar.season].permute(1, 0, 3, 2)
        return Heads(y_BCH[:, :, None] + cycle_BCEH, None), logit_BCEH

    def weights_in_time(self, batch: WindowBatch) -> Tensor:
        """(B, C, E) at the row `routed_row` of each window, the first that is forecast."""
        first_B = self._places(batch.stamp_B)[:, self.lookback]
        return self.weights_of(self.logit_CDE[:, first_B // self.calendar.season].transpose(0, 1))

    def weights_of(self, logit_BCE: Tensor) -> Tensor:
        """Weights along the third axis. An expert whose logit is -inf has none."""
        return logit_BCE.softmax(2)

    def mixed(self, heads: Heads, weight_BCEH: Tensor) -> Tensor:
        """(B, C, H)"""
        return (weight_BCEH * heads.y_BCEH).sum(2)

    def alone(self, heads: Heads, expert: int) -> Tensor:
        """One expert's forecast, (B, C, H)."""
        return heads.y_BCEH[:, :, expert]

    def _places(self, stamp_B: Tensor) -> Tensor:
        """(B, L + H): of every row, from the time stamp of a window's first."""
        first_B = torch.from_numpy(self.calendar.place(stamp_B.cpu().numpy())).to(stamp_B.device)
        row_T = torch.arange(self.lookback + self.horizon, device=stamp_B.device)
        return (first_B[:, None] + row_T) % (self.calendar.season * self.calendar.groups)
