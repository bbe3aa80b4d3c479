"""Forecasts of another number of rows than the horizon of training: the first of them, or forecasts that follow on
forecasts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import counted, listed, quoted
from pipeline.mole.bands import Bands
from pipeline.mole.data.new_series import Recent

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.mole.trained import Forecaster


def check_rows(rows: int, horizon: int, experts: bool, level: bool) -> None:
    """ExpectedError where so many rows have no intervals or forecasts of single experts."""
    if rows > horizon and (experts or level):
        what = "intervals are calibrated" if level else "experts forecast"
        raise ExpectedError(
            f"{what} for the {counted(horizon, 'row')} of the horizon, and rows after it are forecast from forecasts: "
            f"ask for {horizon:,} rows or fewer, or for the forecast alone"
        )


def check_future(recent: Recent, rows: int, known: Sequence[str]) -> None:
    """ExpectedError where known columns, if there are any, end before the last of so many rows to forecast."""
    after = rows if recent.known_after is None else len(recent.known_after)
    if after < rows:
        raise ExpectedError(
            f"known columns ({listed(map(quoted, known), 5)}) go on for {counted(after, 'row')} after the last values, "
            f"of {recent.told(-1)}: expected {counted(rows, 'row')}, one for each that is forecast; add rows after the "
            f"last one, with known columns filled and no value of a series{_first_to_end(recent)}"
        )


def _first_to_end(recent: Recent) -> str:
    """The end of a message: which series of a long file end before others, as was noted when they were read."""
    return "".join(f" ({note})" for note in recent.notes if " ends at " in note)


def forecast_rows(
    forecaster: "Forecaster", recent: Recent, rows: int, experts: bool = False, bands: Bands | None = None
) -> "pd.DataFrame":
    """The next `rows` rows: of the H of the horizon the first, or, for more, each H forecast from the rows before as if
    their forecasts had come true (the recursive strategy: Ben Taieb et al., "A review and comparison of strategies for
    multi-step ahead time series forecasting", 2012).

    ExpectedError where a forecast is no finite number, or of what is refused above.
    """
    import pandas as pd

    horizon = forecaster.horizon
    check_rows(rows, horizon, experts, bands is not None)
    check_future(recent, rows, forecaster.lookback.known)
    parts = [forecaster.forecast_recent(recent, experts, bands)]
    origin = parts[0].attrs["celldag"]
    names = list(forecaster.lookback.channels)
    while (done := len(parts) * horizon) < rows:
        recent = recent.followed_by(parts[-1][names].to_numpy())
        try:
            parts.append(forecaster.forecast_recent(recent))
        except ExpectedError as error:
            raise ExpectedError(f"after {counted(done, 'row')}: {error}") from error
    found = pd.concat(parts, ignore_index=True)[:rows]
    notes = list(origin["notes"])
    if rows > horizon:
        notes.insert(
            1,
            f"rows after the {horizon:,} of the horizon are forecast from forecasts: their errors add up, and nothing "
            "was validated there",
        )
    found.attrs["celldag"] = origin | {"arguments": origin["arguments"] | {"rows": rows}, "notes": notes}
    return found
