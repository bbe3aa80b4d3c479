"""What the processes of a training compare before they start: their data, settings, and the state they start from."""

import hashlib
import zlib
from collections.abc import Iterator
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor

MARKS = 65_521  # a prime; sums of marks are exact in float32 for up to 256 processes


def described(train: Any, validation: Any, settings: BaseModel, state: dict[str, Any]) -> dict[str, bytes]:
    """By what it is called in a message: bytes that are equal where two processes have the same.

    train, validation: sources of minibatches, of which the first stands for all: they are compared as they come, by
    `mark`. state: as a checkpoint holds it.
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


def mark(batch: Any, before: int = 0) -> int:
    """A number below `MARKS` of the tensors of a minibatch and the mark `before` it: cheap enough for every step, the
    same on every machine."""
    found = before
    for part in _parts(vars(batch)):
        if isinstance(part, Tensor):
            found = zlib.crc32(_bytes(part), zlib.crc32(_form(part), found))
    return found % MARKS


def _of_tensors(content: Any) -> bytes:
    """A digest of tensors and numbers in lists and dictionaries."""
    digest = hashlib.sha256()
    for part in _parts(content):
        if isinstance(part, Tensor):
            digest.update(_form(part))
            digest.update(_bytes(part))
        else:
            digest.update(repr(part).encode())
    return digest.digest()


def _form(tensor: Tensor) -> bytes:
    return f"{tensor.dtype} {tuple(tensor.shape)}".encode()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _parts(content: Any) -> Iterator[Any]:
    """What is in lists and dictionaries, the last first."""
    waiting = [content]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting += [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple):
            waiting += part
        else:
            yield part
