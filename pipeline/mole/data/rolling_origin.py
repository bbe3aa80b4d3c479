"""Earlier origins: the series as it was known before its validation rows, to see which forecaster lasts.

One validation split is one stretch of time, and what it likes best may be an accident of its months. Sources: Tashman,
"Out-of-sample tests of forecasting accuracy" (2000); Hyndman and Athanasopoulos, "Forecasting: principles and
practice" (3rd edition), section 5.10.
"""

from dataclasses import replace
from itertools import pairwise

from pipeline.core.errors import ExpectedError
from pipeline.data.source import counted
from pipeline.mole.data.series import Series


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
