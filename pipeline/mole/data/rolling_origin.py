"""Earlier origins: the series as it was known before its validation rows, to see which forecaster lasts.

One validation split is one stretch of time, and what it likes best may be an accident of its months. Sources: Tashman,
"Out-of-sample tests of forecasting accuracy" (2000); Hyndman and Athanasopoulos, "Forecasting: principles and
practice" (3rd edition), section 5.10.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import counted
from pipeline.mole.data.scaler import fit_scaler
from pipeline.mole.data.series import Series
from pipeline.mole.data.windows import Windows, windows_of


def earlier_origins(series: Series, count: int, lookback: int, horizon: int) -> list[Series]:
    """The series `count` times, with other splits: the later half of its train rows is cut into `count` equal parts,
    each of which is once the validation rows, with the train rows before it for train, and no test rows.

    From the earliest origin to the latest. ExpectedError where train rows are too few for a window on both sides.
    """
    first, after = series.splits["train"]
    half = first + (after - first) // 2
    cuts = [half + (after - half) * part // count for part in range(count)] + [after]
    if count and (half - first < lookback + horizon or cuts[1] - cuts[0] < horizon):
        raise ExpectedError(
            f"mole.sweep.recipe.earlier_origins ({count}) leaves {counted(half - first, 'row')} to train on and "
            f"{counted(cuts[1] - cuts[0], 'row')} to validate on at the first origin, of {after - first:,} train rows; "
            f"one window needs {lookback + horizon:,}, {horizon:,} of them in the validation rows: lower "
            "earlier_origins (0: none), mole.sweep.recipe.lookback or mole.sweep.recipe.horizons in params.yaml"
        )
    return [
        replace(series, splits={"train": (first, cut), "validation": (cut, end), "test": (end, end)})
        for cut, end in pairwise(cuts)
    ]


def origin_windows(series: Series, count: int, lookback: int, horizon: int) -> list[tuple[Windows, Windows]]:
    """The train and the validation windows at `count` earlier origins and at that of the validation rows, each in the
    scale of its train rows."""
    found = []
    for known in [*earlier_origins(series, count, lookback, horizon), series]:
        scaler = fit_scaler(known)
        train, validation = (windows_of(known, scaler, split, lookback, horizon) for split in ("train", "validation"))
        found.append((train, validation))
    return found


def calibration_windows(series: Series, count: int, lookback: int, horizon: int) -> list[Windows]:
    """By which intervals are calibrated, each in the scale of the train rows of its origin: at `count` earlier origins
    and at that of the validation rows, the windows whose forecast begins in its validation rows.

    The last of an earlier origin reach into the rows after its own, which its forecaster has not seen either. So every
    window of all origins follows the one before, and errors of earlier ones are known where an error is scaled, as they
    are in use; without them the scale of far steps would be that of no latest errors at all.
    """
    found, (_, end) = [], series.splits["validation"]
    for known in [*earlier_origins(series, count, lookback, horizon), series]:
        first, after = known.splits["validation"]
        reaching = replace(known, splits={"validation": (first, min(after + horizon - 1, end))})
        found.append(windows_of(reaching, fit_scaler(known), "validation", lookback, horizon))
    return found


def longest_lookback(series: Series, count: int, horizon: int) -> int:
    """Of which there is a train window at the earliest of `count` earlier origins."""
    first, after = series.splits["train"]
    return (after - first) // (2 if count else 1) - horizon


def validation_stamps(series: Series) -> dict[str, str]:
    """The time stamps of the first validation row (`start`), by which an origin is called, and the last (`end`)."""
    first, after = series.splits["validation"]
    rows = {"start": first, "end": after - 1}
    return {name: str(np.datetime64(int(series.date_T[row]), "s")) for name, row in rows.items()}
