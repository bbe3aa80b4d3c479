"""What torch.autocast does for its own operations, for functions of ours that it does not know."""

import torch
from torch import Tensor


def narrowed(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors, all of them as autocast has the factors of a matrix product; as they are outside of it."""
    kind = tensors[0].device.type
    if not torch.is_autocast_enabled(kind):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(kind)) for tensor in tensors)


def widened(tensor: Tensor) -> Tensor:
    """At least float32, for what bfloat16 is too coarse for."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
