"""What a trained mixture is to a program: its weights laid out for products from the left, and constant matrices.

Letters as in pipeline/mole/ttnn/programs.py.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from pipeline.core.errors import ExpectedError
from pipeline.mole.model.decomposition import moving_average_matrix
from pipeline.mole.model.mixture import MoleConfig
from pipeline.mole.model.window_moments import offset_weights
from pipeline.mole.ttnn.programs import Plan

BACKBONES = ("dlinear", "rlinear")


def plan_of(config: MoleConfig, batch: int) -> Plan:
    """The program of a model of this configuration, for minibatches of this size.

    ExpectedError where the backbone has no program, or where more experts are to be kept than there are.
    """
    backbone, experts, top_k = config.backbone, config.experts, config.top_k
    refuse_backbone(backbone)
    if top_k is not None and top_k > experts:
        raise ExpectedError(f"top_k = {top_k} of {experts} experts: at most as many can be kept as there are")
    return Plan(
        backbone,
        batch,
        config.channels,
        config.lookback,
        config.horizon,
        experts=experts,
        top_k=top_k,
        offset=config.offset != "none",
    )


def refuse_backbone(backbone: str) -> None:
    """ExpectedError where it has no program."""
    if backbone not in BACKBONES:
        raise ExpectedError(
            f"there is no TTNN program of the backbone {backbone!r}: mole.ttnn.points takes points of "
            f"{', '.join(BACKBONES)}"
        )


def constants_of(config: MoleConfig, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The constants of `forecast` from the state dictionary of a model of this configuration; float32."""
    experts, horizon = config.experts, config.horizon
    if config.backbone == "dlinear":
        constants = {
            "average_LL": moving_average_matrix(config.lookback, config.kernel).T,
            "seasonal_LP": tensors["seasonal.weight"].T,
            "trend_LP": tensors["trend.weight"].T,
            "bias_1P": (tensors["seasonal.bias"] + tensors["trend.bias"])[None],
        }
        if config.offset != "none":
            constants["offset_L1"] = offset_weights(config.offset, config.lookback)[:, None]
    else:
        constants = {
            "linear_LP": tensors["linear.weight"].T,
            "bias_1P": tensors["linear.bias"][None],
            "scale_C1": tensors["norm.scale_C"][:, None],
            "shift_C1": tensors["norm.shift_C"][:, None],
            "inverse_scale_C1": 1 / (tensors["norm.scale_C"][:, None] + 1e-10),
        }
    if experts > 1:
        constants |= {
            "router_FG": tensors["router.0.weight"].T,
            "router_bias_1G": tensors["router.0.bias"][None],
            "gate_GQ": tensors["router.2.weight"].T,
            "gate_bias_1Q": tensors["router.2.bias"][None],
            "repeat_EP": torch.eye(experts).repeat_interleave(horizon, dim=1),
            "sum_PH": torch.eye(horizon).repeat(experts, 1),
        }
    return {name: value.float().contiguous() for name, value in constants.items()}
