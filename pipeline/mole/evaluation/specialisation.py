"""When a router calls on which expert, as rows of tables. N: windows, C: channels, E: experts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def weight_rows(
    weight_NCE: Array, stamp_N: npt.NDArray[np.int64], channels: Sequence[str], place: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Mean weight of each expert by hour and by weekday of the first row of a window; stamp_N: seconds since 1970."""
    when = {"hour": stamp_N // 3600 % 24, "weekday": (stamp_N // 86400 + 3) % 7}  # day 0, 1970-01-01, was a Thursday
    for by, value_N in when.items():
        for value in np.unique(value_N):
            mean_CE = weight_NCE[value_N == value].mean(0)
            for name, weight_E in (*zip(channels, mean_CE, strict=True), ("all", mean_CE.mean(0))):
                yield from (
                    {**place, "by": by, "value": int(value), "channel": name, "expert": e, "weight": float(weight)}
                    for e, weight in enumerate(weight_E)
                )


def usage_rows(weight_NCE: Array, place: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Mean weight of each expert, and the share of windows and channels in which it has the most."""
    experts = weight_NCE.shape[2]
    top_E = np.bincount(weight_NCE.argmax(2).ravel(), minlength=experts) / weight_NCE[..., 0].size
    for expert, (weight, top) in enumerate(zip(weight_NCE.mean((0, 1)), top_E, strict=True)):
        yield {**place, "expert": expert, "weight": float(weight), "top": float(top)}
