"""The forecaster that validation prefers at each horizon, a mixture of experts or the ridge, as MLflow serves it: a
window of rows in, the rows that follow out.

MLflow runs this file ("models from code"): nothing is pickled. L: rows of the lookback, H: rows of a horizon.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.core.provenance import commit_around
from pipeline.core.wording import listed
from pipeline.mole.cross_validation import IDENTIFIER, TRUTH
from pipeline.mole.data.series import DATE, Series, read_series
from pipeline.mole.points import ABOUT, preferred, read_points
from pipeline.mole.trained import Forecaster
from pipeline.tracking.packed import Packed, refused

REQUIREMENTS = ("mlflow", "numpy", "pandas", "pyarrow", "pydantic", "pyyaml", "safetensors", "torch")
LONGEST = 0  # the horizon that stands for the longest
MOST_ROWS = 100_000


class ServedForecaster(PythonModel):
    """Forecasts the rows after the last ones of a table."""

    def load_context(self, context: Any) -> None:
        self.forecasters = forecasters(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """The H rows that follow the last of the given ones: the column of time stamps as text, and the channels in
        their units.

        The last L rows count; see `Forecaster.forecast`. params: `horizon` (rows), one of those of training, 0 for the
        longest; `experts`: whether each expert's own forecast follows; `date`: the column of time stamps;
        `provenance`: adds a JSON column that says where the forecast comes from. What does not fit raises an
        MlflowException (HTTP 400).
        """
        asked = {"horizon": LONGEST, "experts": False, "date": DATE, "provenance": False, **(params or {})}
        try:
            forecaster = self._forecaster(int(asked["horizon"]))
            frame = checked_rows(model_input)
            forecast = forecaster.forecast(frame, str(asked["date"]), bool(asked["experts"]))
        except ExpectedError as error:
            raise refused(error) from error
        dates = forecast[str(asked["date"])]
        answer = forecast.assign(**{str(asked["date"]): dates.map(lambda stamp: stamp.isoformat(sep=" "))})
        said = {"provenance": json.dumps(forecast.attrs["celldag"])} if asked["provenance"] else {}
        return answer.assign(**said)

    def _forecaster(self, horizon: int) -> Forecaster:
        known = sorted(self.forecasters)
        if horizon != LONGEST and horizon not in known:
            raise ExpectedError(f"horizon {horizon:,}: expected {listed(known)} (rows), or {LONGEST} for the longest")
        return self.forecasters[horizon or known[-1]]


def checked_rows(given: Any) -> pd.DataFrame:
    """The rows as a frame. ExpectedError where they are none, or too many."""
    try:
        frame = pd.DataFrame(given)
    except (TypeError, ValueError) as error:
        raise ExpectedError(f"the input is not a table of time stamps and channels: {error}") from error
    if len(frame) > MOST_ROWS:
        raise ExpectedError(f"{len(frame):,} rows: expected {MOST_ROWS:,} at most, of which the last count")
    return frame


def forecasters(folder: Path) -> dict[int, Forecaster]:
    """By horizon, what validation prefers of the points in `folder`, with its best seed."""
    horizons = {horizon for point in read_points(folder) for horizon in point.validation}
    return {horizon: Forecaster.load(folder, horizon) for horizon in sorted(horizons)}


def reads(at: StudyPaths) -> list[Path]:
    """All points, and the series, whose last rows are the example."""
    return [at.models, at.raw]


def pack(at: StudyPaths, project: Path, folder: Path) -> Packed:
    """The networks that validation chose, one for each horizon. ExpectedError where one cannot be loaded."""
    points = read_points(project / at.models)
    horizons = sorted({horizon for point in points for horizon in point.validation})
    for horizon in horizons:
        chosen = preferred(points, horizon)
        assert chosen is not None  # a sweep has a mixture
        (folder / chosen.name).mkdir(exist_ok=True)
        shutil.copy(chosen.folder / ABOUT, folder / chosen.name / ABOUT)
        network = chosen.network(horizon, chosen.best_seed(horizon))
        shutil.copytree(network, folder / chosen.name / network.name)
    served = forecasters(folder)
    longest = served[horizons[-1]]
    series = read_series(project / at.raw)
    example = _example(series, max(forecaster.lookback.rows for forecaster in served.values()), horizons[-1])
    channels = [ColSpec("double", name) for name in series.channels]
    signature = ModelSignature(  # without inputs: MLflow would refuse whole numbers, and dates that are time stamps
        outputs=Schema([ColSpec("string", DATE), *channels]),
        params=ParamSchema(
            [
                ParamSpec("horizon", DataType.long, LONGEST),
                ParamSpec("experts", DataType.boolean, False),
                ParamSpec("date", DataType.string, DATE),
                ParamSpec("provenance", DataType.boolean, False),
            ]
        ),
    )
    of_horizons = {
        str(horizon): {"point": f.point.name, "seed": f.seed, **f.provenance} for horizon, f in served.items()
    }
    metadata = {**commit_around(folder), "horizons": of_horizons}
    return Packed(at.models / longest.point.name, signature, example, metadata)


def _example(series: Series, lookback: int, horizon: int) -> pd.DataFrame:
    """The last rows, enough for each forecaster, or, where columns are known, those before the last `horizon`, of which
    then only known columns are told; in long format, where every series has its own."""
    known_TCK, rows = series.known_TCK, slice(-lookback, None)
    if known_TCK is not None:
        rows = slice(-(lookback + horizon), None)
    dates = pd.Series(series.date_T[rows].astype("datetime64[s]")).astype(str)
    wide = pd.DataFrame({DATE: dates, **dict(zip(series.channels, series.value_TC[rows].T, strict=True))})
    if known_TCK is None:
        return wide
    wide.loc[len(wide) - horizon :, list(series.channels)] = np.nan
    if known_TCK.shape[1] == 1:
        wide[list(series.known)] = known_TCK[rows, 0]
        return wide
    parts = []
    for channel, name in enumerate(series.channels):
        known = dict(zip(series.known, known_TCK[rows, channel].T, strict=True))
        parts.append(pd.DataFrame({IDENTIFIER: name, DATE: dates, TRUTH: wide[name], **known}))
    return pd.concat(parts, ignore_index=True)


set_model(ServedForecaster())
