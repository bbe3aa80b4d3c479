"""What one of several processes computes of a minibatch: some of its examples, as if it saw all of them.

The processes of a training cut every minibatch into consecutive parts. Random numbers are drawn for the whole minibatch
by each, which takes its own rows: so no number depends on how many processes there are. What is no mean over examples
(a ratio of two sums, a statistic or a distance of the minibatch) is made from the sums or the rows of all, and the
gradient finds its way back. In one process all of this is nothing: the functions below return what they are given.

The loss that is differentiated is the sum over processes of weight · loss, with weights that add up to 1; so a term
that all of them compute from the same sums counts once.

B: examples of a minibatch, N: rows made of them, tokens for instance.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipeline.core.rank import LostProcessError

B = TypeVar("B")


@dataclass(frozen=True)
class Share:
    """Examples `first` to `first` + `count` - 1 of the `whole` of `batch`; `rank` of the process among `processes`."""

    batch: Any
    first: int
    count: int
    whole: int
    rank: int
    processes: int


_share: Share | None = None


@contextmanager
def sharing(share: Share | None) -> Iterator[None]:
    """What is computed inside is this share of a minibatch; None: all of it."""
    global _share  # a model's layers are called by torch, which hands nothing down
    before, _share = _share, share
    try:
        yield
    finally:
        _share = before


def is_shared() -> bool:
    """Whether other processes compute the rest of the minibatch."""
    return _share is not None


def whole_of(batch: B) -> B:
    """The minibatch that this is a part of, which every process reads before it takes its own."""
    return batch if _share is None else _share.batch


def drawn(draw: Callable[[tuple[int, ...]], Tensor], shape: Sequence[int], axis: int = 0) -> Tensor:
    """draw(shape); of a share, its rows of what `draw` gives for the whole minibatch.

    `axis` has one row per example, or the same number of rows for each, one example after the other. ValueError where
    it cannot be cut so.
    """
    if _share is None:
        return draw(tuple(shape))
    each, rest = divmod(shape[axis], _share.count)
    if rest:
        raise ValueError(f"{shape[axis]} rows are not equally many for each of {_share.count} examples")
    whole = (*shape[:axis], each * _share.whole, *shape[axis + 1 :])
    return draw(whole).narrow(axis, each * _share.first, shape[axis])


def total(x: Tensor) -> Tensor:
    """Sum over the processes, of the shape of x; differentiable."""
    if _share is None:
        return x
    summed: Tensor = _Total.apply(x)  # type: ignore[no-untyped-call]
    return summed


def totals(*scalars: Tensor) -> tuple[Tensor, ...]:
    """Sums over the processes of several scalars in one message, each of its own type; differentiable."""
    if _share is None:
        return scalars
    summed = total(torch.stack([scalar.double() for scalar in scalars]))
    return tuple(value.to(scalar.dtype) for value, scalar in zip(summed.unbind(), scalars, strict=True))


def everywhere(*tables: Tensor, uneven: bool = False) -> tuple[tuple[Tensor, ...], slice]:
    """The rows of all processes in the order of the minibatch, and which are this one's; differentiable.

    tables: (N, columns), each of its own columns and type; they travel in one message. uneven: an example may have more
    rows than another. ValueError where it has, and that is not said.
    """
    if _share is None:
        return tables, slice(None)
    rows = len(tables[0])
    each, rest = divmod(rows, _share.count)
    first, whole = each * _share.first, each * _share.whole
    if uneven:
        size_P = torch.zeros(_share.processes, dtype=torch.int64, device=tables[0].device)
        size_P[_share.rank] = rows
        sizes: list[int] = sum_over_processes(size_P).tolist()
        first, whole = sum(sizes[: _share.rank]), sum(sizes)
    elif rest:
        raise ValueError(f"{rows} rows are not equally many for each of {_share.count} examples")
    own = slice(first, first + rows)
    # Every process adds its rows to zeros: exact, and of any sizes, which an all-gather would have to pad.
    joined_NC = torch.cat(tables, dim=1)
    padded_NC = joined_NC.new_zeros((whole, joined_NC.shape[1]))
    padded_NC[own] = joined_NC
    parts = torch.split(total(padded_NC), [table.shape[1] for table in tables], dim=1)
    return tuple(part.to(table.dtype) for part, table in zip(parts, tables, strict=True)), own


def sum_over_processes(x: Tensor) -> Tensor:
    """Replace x by its sum over the processes, and return it. LostProcessError where one of them is gone."""
    try:
        torch.distributed.all_reduce(x)
    except RuntimeError as error:
        raise LostProcessError from error
    return x


class _Total(torch.autograd.Function):
    """Each process adds to the sum, and every one of them uses it: the gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return sum_over_processes(x.clone(memory_format=torch.contiguous_format))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return sum_over_processes(gradient.clone(memory_format=torch.contiguous_format))
