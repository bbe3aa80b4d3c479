"""The rows of a split on the training device, and minibatches of windows gathered from there by index.

B: windows of a minibatch, C: channels, L: lookback rows, H: horizon rows, F: time features, N: windows of the split.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from pipeline.mole.data.windows import Windows


@dataclass(frozen=True)
class WindowBatch:
    """B windows, on the training device but for `rows`; values are scaled."""

    rows: Tensor  # (B,) int64, on the CPU: which windows of the split these are
    x_BCL: Tensor  # float32
    y_BCH: Tensor  # float32
    mark_BF: Tensor  # float32: time features of the first row of the lookback
    stamp_B: Tensor  # int64: its time stamp, seconds since 1970-01-01 00:00
    # float32: what known columns add to each row of lookback and horizon, no part of x and y, where there are any
    effect_BCT: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, first: int, count: int) -> Self:
        """The minibatch of these of its windows."""
        chosen = slice(first, first + count)
        return replace(self, **{name: value[chosen] for name, value in vars(self).items() if value is not None})

    def with_effects(self, value_BCT: Tensor) -> Tensor:
        """Values of the last rows of these windows, such as a forecast, with what known columns add to them."""
        return value_BCT if self.effect_BCT is None else value_BCT + self.effect_BCT[..., -value_BCT.shape[2] :]


class ResidentWindows:
    """Minibatches of windows. With `seed` None they come in the order of time. Every window counts: none is dropped."""

    def __init__(self, windows: Windows, batch_size: int, device: torch.device, seed: int | None = None) -> None:
        self.batch_size, self.device, self.seed, self.windows = batch_size, device, seed, len(windows)
        value_CT = torch.from_numpy(windows.value_CT).to(device)
        # All windows as one view of the rows, without a copy: taking some of them along its first axis is one pass over
        # what a minibatch holds.
        self._x_NCL = value_CT.unfold(1, windows.lookback, 1).transpose(0, 1)
        self._y_NCH = value_CT[:, windows.lookback :].unfold(1, windows.horizon, 1).transpose(0, 1)
        self._effect_NCT: Tensor | None = None
        if windows.effect_CT is not None:
            effect_CT = torch.from_numpy(windows.effect_CT).to(device)
            self._effect_NCT = effect_CT.unfold(1, windows.lookback + windows.horizon, 1).transpose(0, 1)
        self._mark_NF = torch.from_numpy(windows.mark(slice(None)).copy()).to(device)
        self._stamp_N = torch.from_numpy(windows.stamp(slice(None)).copy()).to(device)
        self.stamps = windows.stamp(slice(None))  # (N,): time stamp of the first row of each
        self.after = windows.stamp_T[len(windows)]  # that of the window after the last

    def __len__(self) -> int:
        """Minibatches of an epoch; the last may be smaller."""
        return -(-self.windows // self.batch_size)

    @property
    def sizes(self) -> tuple[int, int]:
        """Channels, and rows of the horizon."""
        _, channels, horizon = self._y_NCH.shape
        return channels, horizon

    def epoch(self, number: int, start: int = 0) -> Iterator[WindowBatch]:
        """Minibatches `start`, `start` + 1, ... of this epoch: the order depends on seed and epoch number alone."""
        if self.seed is None:
            order = torch.arange(self.windows)
        else:
            order = torch.from_numpy(np.random.default_rng([self.seed, number]).permutation(self.windows))
        for first in range(start * self.batch_size, self.windows, self.batch_size):
            yield self.take(order[first : first + self.batch_size])

    def take(self, rows: Tensor) -> WindowBatch:
        """The minibatch of these windows, (B,) int64 on the CPU."""
        where = rows.to(self.device)
        return WindowBatch(
            rows,
            self._x_NCL.index_select(0, where),
            self._y_NCH.index_select(0, where),
            self._mark_NF.index_select(0, where),
            self._stamp_N.index_select(0, where),
            None if self._effect_NCT is None else self._effect_NCT.index_select(0, where),
        )

    def names(self, batch: WindowBatch) -> list[str]:
        """What a minibatch's windows are called in messages: when they start."""
        starts = self.stamps[batch.rows.numpy()].astype("datetime64[s]")
        return [f"window starting {str(start)[:16].replace('T', ' ')}" for start in starts]
