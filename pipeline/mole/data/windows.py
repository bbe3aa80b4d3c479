"""Windows of a series: what a model sees of a channel (lookback), and the rows after it, which it is to forecast.

N: windows of a split, B: some of them, T: rows, C: channels, L: lookback rows, H: horizon rows, F: time features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import counted, listed
from pipeline.mole.data.scaler import Scaler
from pipeline.mole.data.series import Series
from pipeline.mole.data.time_features import time_features

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64] | slice


@dataclass(frozen=True)
class Windows:
    """All windows of a split, one row apart: window n sees rows n to n + L - 1 and is to forecast the H after them.

    Values are scaled. Windows are not kept but taken from the rows.
    """

    value_CT: Floats  # of the split and, but for train, of the L rows before it
    mark_TF: Floats  # time features
    stamp_T: npt.NDArray[np.int64]  # seconds since 1970-01-01 00:00
    lookback: int
    horizon: int
    effect_CT: Floats | None = None  # of known columns, which is no part of the values, where there are any

    def __len__(self) -> int:
        return len(self.stamp_T) - self.lookback - self.horizon + 1

    def x(self, rows: Rows) -> Floats:
        """What a model sees in these windows, (B, C, L)."""
        return self._view(0, self.lookback)[rows]

    def y(self, rows: Rows) -> Floats:
        """What it is to forecast, (B, C, H)."""
        return self._view(self.lookback, self.horizon)[rows]

    def mark(self, rows: Rows) -> Floats:
        """Time features of the first row of these windows, (B, F)."""
        return self.mark_TF[: len(self)][rows]

    def stamp(self, rows: Rows) -> npt.NDArray[np.int64]:
        """Time stamp of the first row of these windows (seconds since 1970-01-01 00:00), (B,)."""
        return self.stamp_T[: len(self)][rows]

    def of(self, channels: Sequence[int]) -> "Windows":
        """Those of some channels, values alone."""
        return replace(self, value_CT=self.value_CT[list(channels)], effect_CT=None)

    def _view(self, start: int, width: int) -> Floats:
        """Rows `start` to `start` + width - 1 of all windows, (N, C, width), without a copy."""
        view = np.lib.stride_tricks.sliding_window_view(self.value_CT[:, start:], width, axis=1)[:, : len(self)]
        return view.transpose(1, 0, 2)


def windows_of(series: Series, scaler: Scaler, split: str, lookback: int, horizon: int) -> Windows:
    """Every window whose forecast lies in this split.

    The first window of validation and of test looks back at the L rows before its split, so that every row of theirs
    is forecast (Zhou et al. 2021, Informer); train has nothing before it. ExpectedError where there are fewer rows than
    one window needs, or a scaled value is beyond 32-bit numbers.
    """
    first, after = series.splits[split]
    start = first if split == "train" else first - lookback
    rows = after - max(start, 0)
    if start < 0 or rows < lookback + horizon:
        which = f"the {split} rows of the series" + ("" if split == "train" else " and the lookback before them")
        raise ExpectedError(
            f"{which} are {counted(rows, 'row')}, but one window needs {lookback + horizon:,}: {lookback:,} of "
            f"lookback and {horizon:,} of horizon; lower lookback or horizons in mole.sweep.recipe of params.yaml, or "
            f"bring a longer series (it has {counted(len(series.date_T), 'row')}, of which {after - first:,} are "
            f"{split} rows)"
        )
    with np.errstate(over="ignore"):
        known_TCK = None if series.known_TCK is None else series.known_TCK[start:after]
        value_TC = scaler.scale(series.value_TC[start:after], known_TCK).astype(np.float32)
    beyond = [repr(name) for name, x_T in zip(series.channels, value_TC.T, strict=True) if not np.isfinite(x_T).all()]
    if beyond:
        raise ExpectedError(
            f"{listed(beyond)} of the series holds {split} values too far from its train rows for 32-bit numbers: "
            "check them, and their unit"
        )
    stamp_T = series.date_T[start:after]
    effect_CT = None if known_TCK is None else np.ascontiguousarray(scaler.effect(known_TCK).astype(np.float32).T)
    return Windows(np.ascontiguousarray(value_TC.T), time_features(stamp_T), stamp_T, lookback, horizon, effect_CT)
