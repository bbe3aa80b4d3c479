"""What one forecast costs, from the shapes alone."""

from pipeline.mole.data.time_features import FEATURES
from pipeline.mole.model.mixture import Mole


def forecast_cost(model: Mole) -> dict[str, int]:
    """parameters; flops of one window of all channels: a multiply-add is two, and element-wise work is left out.

    The decomposition counts as what it needs at best, a running sum; the mixture is a product of weights and heads.
    """
    channels, lookback, horizon, experts = model.channels, model.lookback, model.horizon, model.experts
    flops = 2 * channels * lookback * experts * horizon * (2 if model.decomposes else 1)
    if model.mlp is not None:
        flops += 2 * channels * 2 * lookback * model.config.hidden
    if model.router is not None:
        flops += 2 * model.config.router_width * (len(FEATURES) + channels * experts) + 2 * channels * experts * horizon
    return {"parameters": sum(weight.numel() for weight in model.parameters()), "flops": flops}
