"""What an image costs a classifier: parameters and FLOPs, in total and active.

A multiply-add counts as two operations; products and convolutions only, as `torch.utils.flop_counter` has it. That
counter does not count grouped products, so the mixture's part is a formula.
"""

import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.bayes_moe.model.resnet import ResNet18
from pipeline.nn.moe import cost


def classifier_cost(model: ResNet18, channels: int, height: int, width: int) -> dict[str, int]:
    """Per image: parameters and activated_parameters; flops, if all experts were evaluated, and activated_flops; and
    trunk_flops, those before the feed-forward network, which many routes of one image share."""
    rest, trunk = _counted(model, channels, height, width)
    parameters = sum(weight.numel() for weight in model.parameters())
    found = {"parameters": parameters, "activated_parameters": parameters, "flops": rest, "activated_flops": rest}
    if model.mixture is not None:
        tokens = model.tokens(height, width)
        found["activated_parameters"] += cost.activated_parameters(model.mixture) - cost.parameters(model.mixture)
        found["flops"] += cost.flops(model.mixture, tokens, k=len(model.mixture.experts.up_EDH))
        found["activated_flops"] += cost.flops(model.mixture, tokens)
    return found | {"trunk_flops": trunk}


def _counted(model: ResNet18, channels: int, height: int, width: int) -> tuple[int, int]:
    """Operations of all but a mixture, and of the trunk alone."""
    without = model.config.model_copy(update={"network": "none"})
    with torch.device("meta"):
        twin = ResNet18(model.config if model.mixture is None else without).eval()
        image = torch.empty(1, channels, height, width)
    found = []
    for part in (twin, twin.trunk):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            part(image)
        found.append(int(counter.get_total_flops()))
    return found[0], found[1]
