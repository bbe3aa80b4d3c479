"""The processes that train one model together: one alone, or several, each on its part of every minibatch.

All processes hold the same weights. Each reads the same minibatches and computes the gradient of its part; the sum of
these is the gradient of the whole, and every process takes the same step. What a minibatch is does not depend on how
many processes there are, and every step is that of one process to rounding; over a training, rounding can grow.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from pipeline.core import rank
from pipeline.core.errors import ExpectedError
from pipeline.nn.share import Share, sharing, sum_over_processes
from pipeline.training.agreement import mark

TIMEOUT = timedelta(minutes=10)  # the most that one may be behind; one that ends is noticed at once

Losses = dict[str, Tensor]
Parts = dict[str, float]


class Batch(Protocol):
    """A minibatch: its length is that of its examples."""

    def __len__(self) -> int: ...

    def part(self, first: int, count: int) -> Self:
        """The minibatch of so many of its examples from `first` on."""


class Alone:
    """One process, which computes every minibatch whole."""

    rank, count = 0, 1

    def evaluates(self, batches: Any) -> Iterator[tuple[int, Any]]:
        """The minibatches of a source that this process evaluates, whole, and their numbers; never none."""
        yield from enumerate(batches.epoch(0))

    def evaluated(self, sums: Parts, broken: int | None, minibatches: int, source: str) -> tuple[Parts, int | None]:  # noqa: ARG002
        """Sums over all minibatches from those over this process's; of the numbers `broken`, the first. ExpectedError
        where the processes have not read the same from `source`."""
        return sums, broken

    def losses(self, module: nn.Module, batch: Any, generator: torch.Generator) -> Losses:
        """What this process adds to the parts of a minibatch's loss; the generator is that of the whole minibatch."""
        found: Losses = module(batch, generator)
        return found

    def gathered(self, losses: Losses, weights: Sequence[nn.Parameter]) -> Parts:  # noqa: ARG002
        """Make the gradient of what `losses` gave that of the minibatch's loss, and return its parts."""
        return numbers(losses)

    def blamed(self, losses: Losses, names: list[str]) -> list[str]:  # noqa: ARG002
        """Of the examples of a minibatch whose loss is not finite, those of the parts where it is not."""
        return names

    def agree(self, title: str, told: Callable[[], dict[str, bytes]], first: int) -> None:
        """ExpectedError where the processes do not agree on something; told: what of each is compared, by its name.

        first: of how many minibatches is it asked whether all read the same before anything is computed of them. Where
        their lengths differ, the messages of a network's layers would not fit. Later ones hold the same examples in
        another order, and are compared with their losses.
        """


class Several(Alone):
    """One of several processes; the first use connects them."""

    def __init__(self, device: torch.device) -> None:
        """LostProcessError where they do not all come."""
        self.title, self.mark, self.to_ask = "training", 0, 0  # for messages; of what was read; see `agree`
        self.rank, self.count = rank.rank(), rank.processes()
        os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))  # or accelerate chooses a number
        if not torch.distributed.is_initialized():
            meeting = os.environ.get(rank.MEETING)
            try:
                torch.distributed.init_process_group(
                    "nccl" if device.type == "cuda" else "gloo",
                    init_method=f"file://{meeting}" if meeting else "env://",
                    rank=self.rank,
                    world_size=self.count,
                    timeout=TIMEOUT,
                )
            except RuntimeError as error:
                raise rank.LostProcessError from error

    def losses(self, module: nn.Module, batch: Any, generator: torch.Generator) -> Losses:
        """As above: the parts over the examples that are this process's, times their share of the minibatch."""
        self.mark = mark(batch)
        if self.to_ask:
            self.to_ask -= 1
            self._compare({"the training data": self.mark})
        share = self._share(batch, self.rank)
        if share is None:
            return {name: value / self.count for name, value in module(batch, generator).items()}
        with sharing(share):
            found = module(batch.part(share.first, share.count), generator)
        return {name: value * (share.count / share.whole) for name, value in found.items()}

    @torch.no_grad()
    def gathered(self, losses: Losses, weights: Sequence[nn.Parameter]) -> Parts:
        """As above, in one message. A weight without a gradient in any process stays without. ExpectedError where the
        processes have not read the same minibatch."""
        told = [value.detach().float() for value in losses.values()]
        values = torch.stack([*told, torch.tensor(float(self.mark), device=told[0].device)])
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        found = torch.tensor([float(weight.grad is not None) for weight in weights], device=values.device)
        summed = sum_over_processes(torch.cat([*(gradient.reshape(-1) for gradient in gradients), found, values]))
        sizes = [*(weight.numel() for weight in weights), len(weights), len(losses), 1]
        *of_weights, found, values, marks = torch.split(summed, sizes)
        if int(marks) != self.count * self.mark:
            raise self._disagreement(["the training data"])
        for weight, gradient, flat, anywhere in zip(weights, gradients, of_weights, found.tolist(), strict=True):
            weight.grad = gradient.copy_(flat.view_as(gradient)) if anywhere else None
        return dict(zip(losses, values.tolist(), strict=True))

    def evaluates(self, batches: Any) -> Iterator[tuple[int, Any]]:
        """As above. All read all, which tells whether they read the same."""
        self.mark = 0
        first = self.rank % max(len(batches), 1)
        for number, batch in enumerate(batches.epoch(0)):
            self.mark = mark(batch, self.mark)
            if number >= first and (number - first) % self.count == 0:
                yield number, batch

    def evaluated(self, sums: Parts, broken: int | None, minibatches: int, source: str) -> tuple[Parts, int | None]:
        """As above, in one message. Where there are more processes than minibatches, the last ones repeat some, which
        do not count."""
        table_2P = torch.zeros(2, self.count, dtype=torch.float64, device=_device())
        table_2P[:, self.rank] = torch.tensor([0 if broken is None else broken + 1, self.mark])
        mine = torch.tensor(list(sums.values()), dtype=torch.float64, device=_device()) * (self.rank < minibatches)
        summed = sum_over_processes(torch.cat([mine, table_2P.flatten()])).tolist()
        broken_P, marks_P = summed[len(sums) : -self.count], summed[-self.count :]
        first = min((int(number) - 1 for number in broken_P if number), default=None)
        if len(set(marks_P)) > 1:
            raise self._disagreement([source])
        return dict(zip(sums, summed, strict=False)), first

    def blamed(self, losses: Losses, names: list[str]) -> list[str]:
        """As above. Called by all processes."""
        broken_P = torch.zeros(self.count)
        broken_P[self.rank] = float(not all(bool(torch.isfinite(value)) for value in losses.values()))
        device = next(iter(losses.values())).device
        broken = sum_over_processes(broken_P.to(device)).tolist()
        shares = [self._share(names, number) for number, bad in enumerate(broken) if bad]
        found = [name for share in shares if share for name in names[share.first : share.first + share.count]]
        return found or names

    def agree(self, title: str, told: Callable[[], dict[str, bytes]], first: int) -> None:
        """As above. Only digests are sent."""
        self.title, self.to_ask = title, first
        digests = {name: hashlib.sha256(content).digest() for name, content in told().items()}
        self._compare({name: int.from_bytes(digest[:6], "big") for name, digest in digests.items()})

    def _compare(self, told: dict[str, int]) -> None:
        """ExpectedError where the processes do not tell the same numbers, below 2^63, by what they are of."""
        table_PT = torch.zeros(self.count, len(told), dtype=torch.int64, device=_device())
        table_PT[self.rank] = torch.tensor(list(told.values()))
        table_PT = sum_over_processes(table_PT)
        same_T = (table_PT == table_PT[0]).all(dim=0).tolist()
        differing = [name for name, same in zip(told, same_T, strict=True) if not same]
        if differing:
            raise self._disagreement(differing)

    def _disagreement(self, about: list[str]) -> ExpectedError:
        return ExpectedError(
            f"{self.title}: the {self.count} processes of this training disagree about {', '.join(about)}: start them "
            "on one machine or a shared folder, with the same data, parameters and code"
        )

    def _share(self, batch: Any, number: int) -> Share | None:
        """The part of process `number`; None where there are too few examples for all: then each computes all of them,
        and they count as one."""
        whole = len(batch)
        if whole < self.count:
            return None
        first, end = whole * number // self.count, whole * (number + 1) // self.count
        return Share(batch, first, end - first, whole, number, self.count)


def processes_here(device: torch.device) -> Alone:
    """This process alone, or as one of those that were started together."""
    return Several(device) if rank.processes() > 1 else Alone()


def process_device(device: torch.device) -> torch.device:
    """The device of this process where `device` is that of all: each takes a GPU of its own. ExpectedError where there
    are too few."""
    if device.type != "cuda" or rank.processes() == 1:
        return device
    number, cards = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= cards:
        raise ExpectedError(
            f"{os.environ.get('LOCAL_WORLD_SIZE', rank.processes())} processes need a GPU each, and there are {cards}: "
            "set processes to that number or fewer in params.yaml"
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def _device() -> torch.device:
    """Where the messages of the processes come from."""
    on_gpu = torch.distributed.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")


def numbers(losses: Losses) -> Parts:
    """Parts of a loss as numbers."""
    # One transfer from the device for all parts.
    values = torch.stack([value.detach() for value in losses.values()]).tolist()
    return dict(zip(losses, values, strict=True))
