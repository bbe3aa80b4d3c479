"""What one forecast costs, from the shapes alone."""

from pipeline.mole.data.time_features import FEATURES
from pipeline.mole.model.cycle_mixture import CycleMixture
from pipeline.mole.model.mixture import Mole
from pipeline.mole.model.mixture_scores import Network


def forecast_cost(model: Network) -> dict[str, int]:
    """parameters; flops of one window of all channels: a multiply-add is two, and element-wise work is left out.

    The decomposition counts as what it needs at best, a running sum; the mixture is a product of weights and heads.
    """
    flops = _of_cycles(model) if isinstance(model, CycleMixture) else _of_network(model)
    return {"parameters": sum(weight.numel() for weight in model.parameters()), "flops": flops}


def _of_cycles(model: CycleMixture) -> int:
    """What it expects of a row is looked up."""
    return 2 * model.channels * model.horizon * (model.lookback + model.experts)


def _of_network(model: Mole) -> int:
    channels, lookback, horizon, experts = model.channels, model.lookback, model.horizon, model.experts
    flops = 2 * channels * lookback * experts * horizon * (2 if model.decomposes else 1)
    if model.mlp is not None:
        flops += 2 * channels * 2 * lookback * model.config.hidden
    if model.router is not None:
        flops += 2 * model.config.router_width * (len(FEATURES) + channels * experts) + 2 * channels * experts * horizon
    return flops
