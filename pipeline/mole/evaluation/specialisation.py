"""When a router calls on which expert, as rows of tables. N: windows, C: channels, E: experts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Stamps = npt.NDArray[np.int64]


WHEN: Mapping[str, Callable[[Stamps], Stamps]] = {
    "hour": lambda stamp_N: stamp_N // 3600 % 24,
    "weekday": lambda stamp_N: (stamp_N // 86400 + 3) % 7,  # day 0, 1970-01-01, was a Thursday
    "month": lambda stamp_N: stamp_N.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64) % 12,
}


def weight_rows(
    weight_NCE: Array, stamp_N: Stamps, channels: Sequence[str], place: Mapping[str, Any], calendar: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Mean weight of each expert by what of `WHEN` the calendar of a series has, counted from 0; stamp_N: seconds since
    1970 of the row that the router sees."""
    for by in calendar:
        value_N = WHEN[by](stamp_N)
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
