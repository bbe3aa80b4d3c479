"""Leaving out experts that hardly serve: a smaller model, whose router shares their weight among the others.

B: windows, C: channels, E: experts, H: rows of the horizon.
"""

import torch

from pipeline.mole.model.mixture import Mole


@torch.no_grad()
def pruned(model: Mole, kept: list[int]) -> Mole:
    """The model with the experts `kept` alone, in this order. ValueError where none is, or one that does not exist.

    A softmax over the kept logits is the old weights divided by their sum, so nothing else has to change.
    """
    if not kept or not set(kept) <= set(range(model.experts)) or len(set(kept)) < len(kept):
        raise ValueError(f"kept = {kept}: expected distinct experts from 0 to {model.experts - 1}, and at least one")
    config = model.config
    top_k = None if config.top_k is None else min(config.top_k, len(kept))
    changes = {"experts": len(kept), "top_k": top_k, "router_hidden": config.router_width}
    smaller = Mole(config.model_copy(update=changes))
    state = smaller.state_dict()
    source = model.state_dict()
    for name, tensor in state.items():
        if name.split(".")[0] in ("seasonal", "trend", "linear"):
            tensor.copy_(source[name].unflatten(0, (model.experts, model.horizon))[kept].flatten(0, 1))
        elif name.startswith("router.2"):
            tensor.copy_(source[name].unflatten(0, (model.channels, model.experts))[:, kept].flatten(0, 1))
        else:
            tensor.copy_(source[name])
    return smaller.to(next(model.parameters()).device).eval()


def by_service(weight_E: torch.Tensor) -> list[int]:
    """Experts from the one of most weight to the one of least; of equals, the first comes first."""
    return torch.argsort(weight_E, descending=True, stable=True).tolist()
