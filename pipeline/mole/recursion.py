"""Forecasts of more rows than the horizon of training: forecasts that follow on forecasts."""

from typing import TYPE_CHECKING

from pipeline.core.errors import ExpectedError
from pipeline.data.source import counted
from pipeline.mole.data.new_series import Recent
from pipeline.mole.trained import Forecaster

if TYPE_CHECKING:
    import pandas as pd


def forecast_rows(forecaster: Forecaster, recent: Recent, rows: int) -> "pd.DataFrame":
    """The next `rows` rows, as `Forecaster.forecast` gives the H of the horizon: the first of them, or, for more, each
    H forecast from the rows before as if their forecasts had come true (the recursive strategy: Ben Taieb et al., "A
    review and comparison of strategies for multi-step ahead time series forecasting", 2012).

    ExpectedError where a forecast is no finite number.
    """
    import pandas as pd

    parts = [forecaster.forecast_recent(recent)]
    origin = parts[0].attrs["celldag"]
    names = list(forecaster.lookback.channels)
    while (done := len(parts) * forecaster.horizon) < rows:
        recent = recent.followed_by(forecaster.lookback.step, parts[-1][names].to_numpy())
        try:
            parts.append(forecaster.forecast_recent(recent))
        except ExpectedError as error:
            raise ExpectedError(f"after {counted(done, 'row')}: {error}") from error
    found = pd.concat(parts, ignore_index=True)[:rows]
    notes = list(origin["notes"])
    if rows > forecaster.horizon:
        notes.insert(
            1,
            f"rows after the {forecaster.horizon:,} of the horizon are forecast from forecasts: their errors add up, "
            "and nothing was validated there",
        )
    found.attrs["celldag"] = origin | {"arguments": origin["arguments"] | {"rows": rows}, "notes": notes}
    return found
