"""Scores of prediction intervals and of quantiles, each a pure function of tensors of one shape, and their means.

They do not change when a number is added to all their arguments: a truth and quantiles may both be given less the point
forecast. N: windows, C: channels, H: rows of the horizon.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor


def interval_score(low: Tensor, high: Tensor, truth: Tensor, level: float) -> Tensor:
    """Width of the interval, and 2 / (1 - level) times what the truth lies outside of it; the smaller the better.

    Source: Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation" (2007), equation 43
    (Winkler 1972). ValueError where the shapes differ.
    """
    _same_shape(low, high, truth)
    outside = (low - truth).clamp(min=0) + (truth - high).clamp(min=0)
    return high - low + 2 / (1 - level) * outside


def pinball(quantile: Tensor, truth: Tensor, level: float) -> Tensor:
    """Loss of a forecast of the quantile of this level: level (y - q) above it, (1 - level) (q - y) below.

    Twice its mean over evenly spaced levels approaches the continuous ranked probability score, the integral of it
    over all levels. Sources: Koenker and Bassett, "Regression quantiles" (1978); Laio and Tamea, "Verification tools
    for probabilistic forecasts" (2007). ValueError where the shapes differ.
    """
    _same_shape(quantile, truth)
    error = truth - quantile
    return torch.maximum(level * error, (level - 1) * error)


def crps_of_quantiles(quantiles: Iterable[tuple[float, Tensor]], truth: Tensor) -> Tensor:
    """The continuous ranked probability score by (level, quantile) of evenly spaced levels: twice their mean loss."""
    total, levels = torch.zeros_like(truth), 0
    for level, quantile in quantiles:
        total += pinball(quantile, truth, level)
        levels += 1
    return 2 * total / levels


class IntervalScores(NamedTuple):
    """Means over windows, in double precision."""

    covered_CH: Tensor  # share of truths inside
    width_CH: Tensor
    score_C: Tensor  # the interval score
    crps_C: Tensor
    covered_N: Tensor  # how many truths of a window are inside
    covered_by_hour: Tensor | None  # (24,): how many truths of an hour of the day are inside; None: no hours
    rows_by_hour: Tensor | None  # (24,): of how many

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> "IntervalScores":
        """Of all channels of the parts."""
        joined = [torch.cat(values) for values in zip(*(part[:4] for part in parts), strict=True)]
        counts = [
            None if values[0] is None else torch.stack(values).sum(0)
            for values in zip(*(part[4:] for part in parts), strict=True)
        ]
        return IntervalScores(*joined, *counts)

    @property
    def coverage(self) -> float:
        """Over windows, channels and steps."""
        return float(self.covered_CH.mean())

    @property
    def width(self) -> float:
        """Over windows, channels and steps."""
        return float(self.width_CH.mean())

    @property
    def score(self) -> float:
        """The interval score, over the same."""
        return float(self.score_C.mean())

    @property
    def crps(self) -> float:
        """Over the same."""
        return float(self.crps_C.mean())

    @property
    def coverage_N(self) -> Tensor:
        """(N,): of each window, over channels and steps."""
        return self.covered_N / self.covered_CH.numel()

    @property
    def coverage_by_hour(self) -> dict[int, float]:
        """Of each hour of the day that truths were measured in."""
        if self.covered_by_hour is None or self.rows_by_hour is None:
            return {}
        pairs = zip(self.covered_by_hour.tolist(), self.rows_by_hour.tolist(), strict=True)
        return {hour: covered / rows for hour, (covered, rows) in enumerate(pairs) if rows}


def _same_shape(*values: Tensor) -> None:
    if len({value.shape for value in values}) > 1:
        shapes = ", ".join(str(tuple(value.shape)) for value in values)
        raise ValueError(f"shapes differ: {shapes}: a broadcast would be no score of these forecasts")
