"""Mixture of linear experts: linear forecasts of one backbone, weighed by a router that sees the time of day and year.

B: windows, C: channels, L: rows of the lookback, H: rows of the horizon, E: experts, F: time features, K: experts kept.
Channel-major throughout. Row e H + h of a head's weight is expert e's forecast of step h; row c E + e of the router's
is the logit of expert e for channel c.

Sources: Ni et al., "Mixture-of-linear-experts for long-term time series forecasting" (2024); DLinear: Zeng et al.
(2023); RLinear and RMLP: Li et al., "Revisiting long-term time series forecasting: an investigation on linear mapping"
(2023).
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, mse_loss

from pipeline.mole.data.resident_windows import WindowBatch
from pipeline.mole.data.ridge_choice import Offset
from pipeline.mole.data.time_features import FEATURES
from pipeline.mole.model.decomposition import decomposed_linear
from pipeline.mole.model.instance_norm import Level, ReversibleNorm, WindowOffset
from pipeline.nn.model_config import ModelConfig
from pipeline.nn.share import drawn


class Heads(NamedTuple):
    """What the experts say, before it is weighed."""

    y_BCEH: Tensor
    level: Level | None  # what was taken out of the window, if anything


class MoleConfig(ModelConfig):
    """`backbone`: `linear` is one linear map and nothing else, `linear_per_channel` one for each channel. `offset`:
    what is subtracted from a window first; rlinear and rmlp, which divide by its deviation anyway, subtract its mean
    unless it is `none`. `router_hidden` is experts x channels by default. The other fields are parameters of a point,
    those of the recipe of `mole.sweep`, and sizes of the data."""

    backbone: Literal["dlinear", "rlinear", "rmlp", "linear", "linear_per_channel"]
    lookback: int
    horizon: int
    channels: int
    experts: int = 1
    top_k: int | None = None
    head_dropout: float = 0.0
    kernel: int = 25
    offset: Offset = "none"
    hidden: int = 256
    router_hidden: int | None = None

    @property
    def router_width(self) -> int:
        """Hidden units of the router."""
        return self.experts * self.channels if self.router_hidden is None else self.router_hidden


class Mole(nn.Module):
    """Forecasts the next H rows from the last L; with one expert, the backbone alone."""

    def __init__(self, config: MoleConfig) -> None:
        super().__init__()
        self.config = config
        lookback, horizon, channels, experts = config.lookback, config.horizon, config.channels, config.experts
        self.lookback, self.horizon, self.channels, self.experts = lookback, horizon, channels, experts
        self.routed_row = 0  # of a window, whose time the router sees
        self.decomposes = config.backbone == "dlinear"
        self.norm: ReversibleNorm | WindowOffset | None = None
        if config.backbone in ("rlinear", "rmlp"):
            self.norm = ReversibleNorm(channels, centred=config.offset != "none")
        elif self.decomposes and config.offset != "none":
            self.norm = WindowOffset(config.offset)
        if self.decomposes:
            self.seasonal = nn.Linear(lookback, experts * horizon)
            self.trend = nn.Linear(lookback, experts * horizon)
        elif config.backbone == "linear_per_channel":
            self.weight_CHL = nn.Parameter(torch.zeros(channels, horizon, lookback))
        else:
            self.linear = nn.Linear(lookback, experts * horizon)
        self.mlp = (
            nn.Sequential(nn.Linear(lookback, config.hidden), nn.ReLU(), nn.Linear(config.hidden, lookback))
            if config.backbone == "rmlp"
            else None
        )
        self.router: nn.Sequential | None = None
        if experts > 1:
            width = config.router_width
            self.router = nn.Sequential(
                nn.Linear(len(FEATURES), width), nn.ReLU(), nn.Linear(width, channels * experts)
            )

    def forward(self, x_BCL: Tensor, mark_BF: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B, C, H), in the scale of x. The generator decides which heads are dropped while the module trains."""
        return self.mixed(self.heads(x_BCL), self.router_weights(mark_BF, generator))

    def forecast(self, batch: WindowBatch) -> Tensor:
        """(B, C, H) of a minibatch, nothing dropped once the module does not train."""
        forecast_BCH: Tensor = self(batch.x_BCL, batch.mark_BF)
        return forecast_BCH

    def asked(self, batch: WindowBatch) -> tuple[Heads, Tensor]:
        """What the experts forecast, and the router's logits (B, C, E)."""
        return self.heads(batch.x_BCL), self.router_logits(batch.mark_BF)

    def weights_in_time(self, batch: WindowBatch) -> Tensor:
        """(B, C, E) at the row `routed_row` of each window."""
        return self.router_weights(batch.mark_BF)

    def heads(self, x_BCL: Tensor) -> Heads:
        """All experts' forecasts from one product (two, where the trend has weights of its own)."""
        batch, channels, lookback = x_BCL.shape
        x_BCL, level = (x_BCL, None) if self.norm is None else self.norm(x_BCL)
        if self.mlp is not None:
            x_BCL = x_BCL + self.mlp(x_BCL)
        if self.config.backbone == "linear_per_channel":
            return Heads(torch.einsum("bcl,chl->bch", x_BCL, self.weight_CHL)[:, :, None], level)
        x_RL = x_BCL.reshape(-1, lookback)
        if self.decomposes:
            bias_P = self.seasonal.bias + self.trend.bias
            y_RP = decomposed_linear(x_RL, self.seasonal.weight, self.trend.weight, self.config.kernel, bias_P)
        else:
            y_RP = linear(x_RL, self.linear.weight, self.linear.bias)
        return Heads(y_RP.view(batch, channels, self.experts, self.horizon), level)

    def router_weights(self, mark_BF: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B, C, E), summing to 1 over the experts; with top_k, exactly 0 for all but the K largest.

        Head dropout: while the module trains, each weight is taken out with that chance, unless all of them would be.
        """
        return self.weights_of(self.router_logits(mark_BF), generator)

    def router_logits(self, mark_BF: Tensor) -> Tensor:
        """(B, C, E); of a backbone alone, zeros for its one expert."""
        if self.router is None:
            return mark_BF.new_zeros(len(mark_BF), self.channels, 1)
        logit_BCE: Tensor = self.router(mark_BF)
        return logit_BCE.view(len(mark_BF), self.channels, self.experts)

    def weights_of(self, logit_BCE: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The second half of `router_weights`. An expert whose logit is -inf has no weight."""
        if self.training and self.config.head_dropout > 0 and self.experts > 1:
            if generator is None:
                raise TypeError("head dropout needs a generator while the module trains")
            chance_BCE = drawn(
                lambda shape: torch.rand(shape, generator=generator, device=logit_BCE.device), logit_BCE.shape
            )
            dropped_BCE = chance_BCE < self.config.head_dropout
            dropped_BCE &= ~dropped_BCE.all(2, keepdim=True)
            logit_BCE = logit_BCE.masked_fill(dropped_BCE, -math.inf)
        if self.config.top_k is not None and self.config.top_k < self.experts:
            logit_BCE = largest_only(logit_BCE, self.config.top_k)
        return logit_BCE.softmax(2)

    def mixed(self, heads: Heads, weight_BCE: Tensor) -> Tensor:
        """The weighed sum of the experts' forecasts, (B, C, H), in the scale of the input."""
        if self.experts == 1:
            return self._restored(heads.y_BCEH[:, :, 0], heads)
        y_BCH = (weight_BCE[..., None] * heads.y_BCEH).sum(2)  # a third of the time of batched products this small
        return self._restored(y_BCH, heads)

    def alone(self, heads: Heads, expert: int) -> Tensor:
        """One expert's forecast, (B, C, H), in the scale of the input."""
        y_BCH = heads.y_BCEH[:, :, expert]
        return self._restored(y_BCH, heads)

    def _restored(self, y_BCH: Tensor, heads: Heads) -> Tensor:
        if self.norm is None or heads.level is None:
            return y_BCH
        return self.norm.restore(y_BCH, heads.level)


def largest_only(logit_BCE: Tensor, count: int) -> Tensor:
    """The logits with -inf in place of all but the `count` largest of each channel."""
    kept_BCK = logit_BCE.topk(count, dim=2).indices
    others_BCE = torch.ones_like(logit_BCE, dtype=torch.bool).scatter_(2, kept_BCK, value=False)
    return logit_BCE.masked_fill(others_BCE, -math.inf)


class ForecastObjective(nn.Module):
    """Mean squared error over all rows and channels of the horizon, in the scaled space of the protocol."""

    def __init__(self, model: Mole) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: WindowBatch, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss, and nothing else: what is trained is what is reported."""
        return {"loss": mse_loss(self.model(batch.x_BCL, batch.mark_BF, generator), batch.y_BCH)}


@torch.no_grad()
def start_from(model: Mole, weight_HL: Tensor) -> None:
    """Make every expert the linear map `weight_HL`, whose rows have to sum to 1 unless the model's offset is `none`
    (see `RidgePath.weights`).

    Such a map commutes with the normalisation, the residual MLP starts at zero, and equal maps of trend and rest are
    one: every backbone starts from the same forecast. The router's initial weights then break the symmetry.
    """
    weight_PL = weight_HL.to(torch.float32).repeat(model.experts, 1)
    layers: list[nn.Linear] = [model.seasonal, model.trend] if model.decomposes else [model.linear]
    for layer in layers:
        layer.weight.copy_(weight_PL)
        layer.bias.zero_()
    if model.mlp is not None:
        for weight in model.mlp[2].parameters():
            weight.zero_()
