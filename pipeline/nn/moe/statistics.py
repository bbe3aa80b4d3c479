"""placeholder"""

import torch
from torch import Tensor

from pipeline.nn.moe.routing import Routing


def expert_by_label(routing: Routing, label_N: Tensor, classes: int) -> Tensor:
    """(E, C) int64."""
    kept_NK = routing.kept_NK
    code = (routing.expert_NK * classes + label_N[:, None])[kept_NK]
    return torch.bincount(code, minlength=routing.experts * classes).view(routing.experts, classes)
