"""Forecasts from earlier cutoffs of a series, beside what then happened.

C: channels, H: rows of the horizon, W: cutoffs, each given by how many rows are known then.

The rows and columns are those of Nixtla's `cross_validation` without refitting: the forecaster is not trained again at
a cutoff (rolling-origin evaluation: Tashman, "Out-of-sample tests of forecasting accuracy", 2000). So errors on rows
that it was trained on are smaller than those on new rows will be.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import counted
from pipeline.mole.data.new_series import Lookback, Recent
from pipeline.mole.long_forecast import lengthened
from pipeline.mole.trained import Forecaster

if TYPE_CHECKING:
    import pandas as pd

IDENTIFIER, DATE, CUTOFF, TRUTH = "unique_id", "ds", "cutoff", "y"


def looked_at(forecaster: Forecaster, windows: int, step: int, level: Sequence[float] = ()) -> Lookback:
    """What is read of a series: as far as it is there, what intervals look at before the first lookback as well."""
    lookback = forecaster.reads(forecaster.bands(level))
    return replace(lookback, before=lookback.before + (windows - 1) * step + forecaster.horizon)


def cross_validation(
    forecaster: Forecaster, series: Recent, windows: int, step: int, level: Sequence[float] = ()
) -> "pd.DataFrame":
    """W · C · H rows: `unique_id` (the channel), `ds`, `cutoff` (the last row that was known), `y`, the forecast, in a
    column called as the forecaster's point, and the ends of its intervals.

    The last cutoff is H rows before the end, and each `step` rows before the next. attrs["celldag"] of the result says
    where it comes from. ExpectedError where the series is too short.
    """
    import pandas as pd

    horizon, name, bands = forecaster.horizon, forecaster.point.name, forecaster.bands(level)
    rows, needed = len(series.value_TC), forecaster.lookback.rows + (windows - 1) * step + horizon
    if rows < needed:
        raise ExpectedError(
            f"the series has {counted(rows, 'row')}, but {counted(windows, 'cutoff')} {counted(step, 'row')} apart, a "
            f"lookback of {forecaster.lookback.rows:,} and a horizon of {horizon:,} need {needed:,}: ask for fewer "
            "windows, a smaller step or a shorter horizon, or bring more rows"
        )
    known_W = range(rows - horizon - (windows - 1) * step, rows - horizon + 1, step)
    parts = []
    for known in known_W:
        forecast = forecaster.forecast_recent(series.until(known), bands=bands).rename(columns={series.date: DATE})
        forecast[DATE] = [series.told(row) for row in range(known, known + horizon)]
        part = lengthened(forecast, forecaster.lookback.channels, IDENTIFIER, name)
        part.insert(2, CUTOFF, series.told(known - 1))
        part.insert(3, TRUTH, series.value_TC[known : known + horizon].T.ravel())
        parts.append(part)
    found = pd.concat(parts, ignore_index=True)
    found.attrs["celldag"] = _origin(forecast.attrs["celldag"], forecaster, series, list(known_W), step)
    return found


def _origin(
    last: dict[str, Any], forecaster: Forecaster, series: Recent, known_W: list[int], step: int
) -> dict[str, Any]:
    """That of the last forecast, with what is different of all of them."""
    notes = [
        last["notes"][0],
        f"{counted(len(known_W), 'cutoff')} {counted(step, 'row')} apart, the last known rows of which are "
        f"{series.told(known_W[0] - 1)} to {series.told(known_W[-1] - 1)}; nothing is trained again",
    ]
    notes += _seen(forecaster, series, known_W)
    report = {"first_row": series.told(0), "last_row": series.told(-1), "columns_not_used": series.unused}
    return last | {
        "command": "cross-validate",
        "arguments": last["arguments"] | {"windows": len(known_W), "step": step},
        "report": report,
        "notes": [*notes, *series.notes],
    }


def _seen(forecaster: Forecaster, series: Recent, known_W: list[int]) -> list[str]:
    """How many forecasts begin in the time of training, and in that of the validation rows."""
    validation = forecaster.point.origins[forecaster.horizon][-1]
    start, end = (int(np.datetime64(stamp, "s").astype(np.int64)) for stamp in (validation.start, validation.end))
    begin, until = (series.step.stamp(stamp) for stamp in (start, end))
    first_W = series.stamps.date_T[np.array(known_W)]
    trained, validated = int(np.sum(first_W < start)), int(np.sum((first_W >= start) & (first_W <= end)))

    def these(count: int) -> str:
        return f"{counted(count, 'forecast')} of these begin{'s' if count == 1 else ''}"

    notes = []
    if trained:
        notes.append(
            f"{these(trained)} before {begin}, in the time that the forecaster was trained on: their errors are "
            "smaller than those of new rows will be"
        )
    if validated:
        notes.append(
            f"{these(validated)} from {begin} to {until}, in the time by which the forecaster was chosen and its "
            "intervals are calibrated: errors of new rows may be larger"
        )
    return notes


def errors(found: "pd.DataFrame", name: str, level: Sequence[float]) -> "pd.DataFrame":
    """Of each channel over all cutoffs and steps, in its own units: the mean absolute error, the root mean square error
    and what intervals of each level cover (0 to 1). name: of the forecast's column."""
    error = found[name] - found[TRUTH]
    columns = {"MAE": error.abs(), "RMSE": error**2}
    for one in dict.fromkeys(level):
        lower, upper = found[f"{name}-lo-{one:g}"], found[f"{name}-hi-{one:g}"]
        columns[f"coverage {one:g}"] = ((found[TRUTH] >= lower) & (found[TRUTH] <= upper)).astype(float)
    table = found[[IDENTIFIER]].assign(**columns).groupby(IDENTIFIER, sort=False).mean()
    return table.assign(RMSE=table["RMSE"] ** 0.5)
