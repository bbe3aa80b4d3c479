"""MoLE-DLinear and MoLE-RLinear, written once over the operations of `ops`.

B: windows, C: channels, R = B C: series (window-major), L: rows of the lookback, H: rows of the horizon, E: experts,
P = E H, F: time features, G: hidden units of the router, Q = C E. A constant's name carries its axes.

Sources as in pipeline/mole/model/mixture.py, whose forecasts these are. Everything is a product with a matrix where it
can be: the moving average, all experts at once, and the weighed sum over them, for which the weights are first repeated
over the horizon (a product with zeros and ones) and the weighed forecasts summed by another. So no tensor needs a third
axis, whose tiles would be mostly filling.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pipeline.mole.ttnn.ops import Ops, Places

NORM_EPSILON = 1e-5  # of the reversible instance norm
FAR = 4096.0  # taken from a logit, it leaves its softmax at 0; logits are narrow, so no exponent is shared with it


@dataclass(frozen=True)
class Plan:
    """The shapes that a program is written for."""

    backbone: str  # dlinear or rlinear
    batch: int
    channels: int
    lookback: int
    horizon: int
    experts: int
    top_k: int | None = None
    offset: bool = False  # whether a window's level is subtracted first

    @property
    def levelled(self) -> bool:
        """Whether something is taken out of a window first, which is done in bfloat16."""
        return self.offset or self.backbone == "rlinear"

    @property
    def kept(self) -> int | None:
        """How many experts weigh, where not all do."""
        return None if self.top_k is None or self.top_k >= self.experts else self.top_k


def place_constants(ops: Places, plan: Plan, constants: Mapping[str, Tensor]) -> dict[str, Any]:
    """The constants where the operations want them; what belongs to a channel (`_C1`) is repeated for every window."""
    placed = {}
    for name, value in constants.items():
        if name.endswith("_C1"):
            placed[name.replace("_C1", "_R1")] = ops.place(value.repeat(plan.batch, 1), narrow=True)
        else:
            placed[name] = ops.place(value, narrow=False)
    return placed


def place_inputs(ops: Places, plan: Plan, x_BCL: Tensor, mark_BF: Tensor) -> tuple[Any, Any]:
    """The windows and their time features where the operations want them, (R, L) and (B, F)."""
    x_RL = x_BCL.reshape(plan.batch * plan.channels, plan.lookback)
    return ops.place(x_RL, narrow=plan.levelled), ops.place(mark_BF, narrow=True)


def forecast(ops: Ops, plan: Plan, constants: Mapping[str, Any], x_RL: Any, mark_BF: Any) -> tuple[Any, Any]:
    """(y_RH, weight_RE): the forecast in the scale of x, and what each expert weighs (None where there is one only)."""
    levels: tuple[Any, Any] | None = None
    offset_R1: Any = None
    if plan.backbone == "rlinear":
        x_RL, levels = _normalised(ops, plan, constants, x_RL)
        y_RP = ops.linear(x_RL, constants["linear_LP"], constants["bias_1P"])
    else:
        if plan.offset:
            offset_R1 = ops.linear(x_RL, constants["offset_L1"], narrow=True)
            x_RL = ops.subtract(x_RL, offset_R1)
        trend_RL = ops.linear(x_RL, constants["average_LL"], narrow=plan.levelled)
        y_RP = ops.add(
            ops.linear(ops.subtract(x_RL, trend_RL), constants["seasonal_LP"]),
            ops.linear(trend_RL, constants["trend_LP"], constants["bias_1P"]),
        )
    weight_RE = None
    y_RH = y_RP
    if plan.experts > 1:
        weight_RE = router_weights(ops, plan, constants, mark_BF)
        weight_RP = ops.linear(weight_RE, constants["repeat_EP"])
        y_RH = ops.linear(ops.multiply(y_RP, weight_RP), constants["sum_PH"])
    if levels is not None:
        y_RH = _restored(ops, plan, constants, y_RH, levels)
    elif plan.offset:
        y_RH = ops.add(ops.narrow(y_RH), offset_R1)
    return y_RH, weight_RE


def router_weights(ops: Ops, plan: Plan, constants: Mapping[str, Any], mark_BF: Any) -> Any:
    """(R, E): the softmax over a channel's experts; with top-k over the K largest logits, the others exactly 0.

    Logits that rounding makes equal are kept together, so that more than K experts may weigh.
    """
    hidden_BG = ops.linear(mark_BF, constants["router_FG"], constants["router_bias_1G"], relu=True)
    logit_BQ = ops.linear(hidden_BG, constants["gate_GQ"], constants["gate_bias_1Q"], narrow=True)
    logit_RE = ops.reshape(logit_BQ, plan.batch * plan.channels, plan.experts)
    if plan.kept is not None:
        rest_RE = logit_RE
        for _ in range(plan.kept - 1):
            others_RE = ops.below(rest_RE, ops.largest(rest_RE))
            rest_RE = ops.add(rest_RE, ops.multiply(ops.subtract(others_RE, 1.0), FAR))
        dropped_RE = ops.below(logit_RE, ops.largest(rest_RE))
        logit_RE = ops.subtract(logit_RE, ops.multiply(dropped_RE, FAR))
    return ops.softmax(logit_RE)


def _normalised(ops: Ops, plan: Plan, constants: Mapping[str, Any], x_RL: Any) -> tuple[Any, tuple[Any, Any]]:
    mean_R1 = ops.mean(x_RL)
    centred_RL = ops.subtract(x_RL, mean_R1)
    variance_R1 = ops.mean(ops.multiply(centred_RL, centred_RL))
    deviation_R1 = ops.root(ops.add(variance_R1, NORM_EPSILON))
    factor_R1 = ops.multiply(ops.inverse(deviation_R1), constants["scale_R1"])
    levelled_RL = centred_RL if plan.offset else x_RL
    return ops.add(ops.multiply(levelled_RL, factor_R1), constants["shift_R1"]), (mean_R1, deviation_R1)


def _restored(ops: Ops, plan: Plan, constants: Mapping[str, Any], y_RH: Any, level: tuple[Any, Any]) -> Any:
    mean_R1, deviation_R1 = level
    plain_RH = ops.subtract(ops.narrow(y_RH), constants["shift_R1"])
    factor_R1 = ops.multiply(deviation_R1, constants["inverse_scale_R1"])
    y_RH = ops.multiply(plain_RH, factor_R1)
    return ops.add(y_RH, mean_R1) if plan.offset else y_RH
