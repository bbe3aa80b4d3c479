"""What the processes of a training compare before they start: their data, settings, and the state they start from."""

import hashlib
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor


def described(train: Any, validation: Any, settings: BaseModel, state: dict[str, Any]) -> dict[str, bytes]:
    """By what it is called in a message: bytes that are equal where two processes have the same.

    train, validation: sources of minibatches, of which the first stands for all. state: as a checkpoint holds it.
    """
    return {
        "the training data": _of_source(train),
        "the validation data": _of_source(validation),
        "the parameters": settings.model_dump_json().encode(),
        "the state they start from": _of_tensors(state),
    }


def _of_source(batches: Any) -> bytes:
    batch = next(batches.epoch(0))
    return repr((len(batches), batches.names(batch))).encode() + _of_tensors(vars(batch))


def _of_tensors(content: Any) -> bytes:
    """A digest of tensors and numbers in lists and dictionaries."""
    digest = hashlib.sha256()
    waiting = [content]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting += [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple):
            waiting += part
        elif isinstance(part, Tensor):
            digest.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        else:
            digest.update(repr(part).encode())
    return digest.digest()
