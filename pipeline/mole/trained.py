"""A trained forecaster in use: the rows that follow the last ones of a series.

    forecaster = Forecaster.load("models/mole/series")
    forecast = forecaster.forecast(pandas.read_csv("new.csv"))

The command `forecast` does the same from file to file. C: channels, L: rows of the lookback, H: rows of the horizon,
E: experts, F: time features.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256
from pipeline.core.only_run import model_folder
from pipeline.core.provenance import commit_around, origin_in_json
from pipeline.core.wording import counted, listed, quoted
from pipeline.mole.bands import Bands, bands_of
from pipeline.mole.data.new_series import Lookback, Recent, recent_of_frame
from pipeline.mole.data.resident_windows import WindowBatch
from pipeline.mole.data.ridge_choice import CHANNEL_RIDGE
from pipeline.mole.data.scaler import Scaler
from pipeline.mole.data.step import Seconds, Step
from pipeline.mole.data.time_features import time_features
from pipeline.mole.interval_files import read_intervals
from pipeline.mole.long_forecast import lengthened
from pipeline.mole.model.mixture_scores import Network
from pipeline.mole.points import ForecastPoint, preferred, read_point, read_points
from pipeline.mole.recursion import forecast_rows
from pipeline.params.allowed import check
from pipeline.params.section import Seed, Window
from pipeline.training.weights import WEIGHTS

if TYPE_CHECKING:
    import pandas as pd


class Forecaster:
    """One trained network of the sweep; made by `load`."""

    def __init__(
        self, model: Network, point: ForecastPoint, seed: int, config: dict[str, Any], provenance: dict[str, Any]
    ) -> None:
        self.model, self.point, self.seed, self.horizon, self.provenance = model, point, seed, model.horizon, provenance
        self.scaler = Scaler.restored(config["scaler"])
        self.lookback = Lookback(
            tuple(config["channels"]),
            model.lookback,
            Step.restored(config),
            known=() if self.scaler.effects is None else self.scaler.effects.columns,
            static=tuple(config.get("static", ())),
        )

    @classmethod
    def load(
        cls,
        folder: str | Path | None = None,
        horizon: int | None = None,
        point: str | None = None,
        seed: int | None = None,
        device: str = "cpu",
    ) -> Self:
        """A network of those in `folder`, all points of a study's sweep; by default those of the only study.

        horizon: the longest by default; point: what validation prefers at this horizon, a mixture of experts or the
        ridge; seed: the one of that point with the lowest validation loss. ExpectedError where there is no such
        network, or a file is damaged.
        """
        for kind, name, value in ((Window, "horizon", horizon), (Seed, "seed", seed)):
            if value is not None:
                check(kind, name, value)
        folder = model_folder("mole", folder)
        chosen, horizon = _chosen(folder, point, horizon)
        if seed is None:
            seed = chosen.best_seed(horizon)
        elif seed not in chosen.validation[horizon]:
            seeds = listed(chosen.validation[horizon])
            raise ExpectedError(f"{chosen.name} was trained with seeds {seeds}, not with {seed}: ask for one of them")
        model, config = chosen.load(horizon, seed, torch.device(device))
        try:
            provenance = {
                **commit_around(folder),
                **config["provenance"],
                "model_sha256": sha256(chosen.network(horizon, seed) / WEIGHTS),
            }
            return cls(model, chosen, seed, config, provenance)
        except KeyError as error:
            raise ExpectedError(
                f"the model in {chosen.network(horizon, seed)} does not say its {error.args[0]}, so it was trained by "
                f"an older version; train it again: dvc repro --force {chosen.stage}"
            ) from error

    def bands(self, level: Sequence[float]) -> Bands | None:
        """Prediction intervals of these levels (per cent), such as 90; None of none. ExpectedError where one is not
        calibrated."""
        if not level:
            return None
        intervals = read_intervals(self.point.network(self.horizon, self.seed), self.point.stage)
        return bands_of(intervals, level, self.lookback.rows, self.horizon, self.lookback.step)

    def forecast(
        self,
        frame: "pd.DataFrame",
        date: str = "date",
        experts: bool = False,
        level: Sequence[float] = (),
        rows: int | None = None,
    ) -> "pd.DataFrame":
        """The H rows, or `rows`, that follow the last ones of the frame: its column of time stamps, and the channels in
        its units.

        The frame holds the channels of training, in any order, others being left out, and in the column `date` the time
        of each row, in the step of training; an offset from UTC is kept. Where there were known columns in training,
        the rows to forecast follow the last ones: known columns filled, no value of a channel. The last L rows count,
        those before are not looked at. The weights of a mixture's experts are those of the first of these L rows, as in
        training. experts: whether each expert's own forecast follows, in columns such as `load (expert 1)`. level: of
        prediction intervals (per cent), whose ends follow, in columns such as `load-lo-90` and `load-hi-90`; they are
        as wide as the forecaster's errors on the rows before the lookback say, which then are looked at, too. rows:
        more than H are forecast from forecasts, without intervals or experts. Of a frame in long format the forecast is
        long, too.

        attrs["celldag"] of the result says where it comes from. ExpectedError where the frame does not fit.
        """
        if rows is not None:
            check(Window, "rows", rows)
        bands = self.bands(level)
        recent = recent_of_frame(frame, date, self.reads(bands))
        return self.as_read(forecast_rows(self, recent, rows or self.horizon, experts, bands), recent)

    def as_read(self, forecast: "pd.DataFrame", recent: Recent) -> "pd.DataFrame":
        """A forecast in long format where the rows that it follows were."""
        if recent.identifier is None:
            return forecast
        return lengthened(forecast, self.lookback.channels, recent.identifier, self.point.name)

    def reads(self, bands: Bands | None) -> Lookback:
        """What is looked at of a series."""
        return self.lookback if bands is None else replace(self.lookback, before=bands.before)

    @torch.no_grad()
    def forecast_recent(self, longer: Recent, experts: bool = False, bands: Bands | None = None) -> "pd.DataFrame":
        """`forecast` for rows that were read and checked."""
        import pandas as pd

        if experts and self.point.experts == 1:
            what = "the linear baseline" if self.point.maps else "a backbone alone"
            raise ExpectedError(f"{self.point.name} is {what}: it has no experts to show")
        recent = longer.last(self.lookback.rows)
        with np.errstate(over="ignore"):  # told below
            scaled_TC = self.scaler.scale(longer.value_TC, longer.known_until_now).astype(np.float32)
        x_CL = np.ascontiguousarray(scaled_TC[-self.lookback.rows :].T)
        heads, logit_1CE = self.model.asked(self._windows(torch.from_numpy(x_CL[None]), recent.stamps.date_T[:1]))
        parts = [("", self.model.mixed(heads, self.model.weights_of(logit_1CE)))]
        if experts:
            parts += [(f" (expert {e + 1})", self.model.alone(heads, e)) for e in range(self.point.experts)]
        notes = []
        if bands is not None:
            scale_CH, earlier = bands.scale(scaled_TC, longer.stamps.date_T, partial(self._earlier, longer))
            ends = bands.ends(scale_CH.to(self._device))
            parts += [(f"-{name}", parts[0][1] + end_CH) for name, end_CH in ends.items()]
            notes.append(bands.note(earlier))
        date_H = self.lookback.step.after(int(recent.stamps.date_T[-1]), self.horizon)
        dates, offset = pd.DatetimeIndex(date_H.astype("datetime64[s]")), recent.stamps.offset(-1)
        if offset is not None:
            dates = dates.tz_localize(timezone(timedelta(seconds=offset)))
        columns: dict[str, Any] = {recent.date: dates}
        for suffix, y_1CH in parts:
            value_HC = self._unscaled(y_1CH, longer)
            columns |= {name + suffix: value_HC[:, c] for c, name in enumerate(self.lookback.channels)}
        frame = pd.DataFrame(columns)
        frame.attrs["celldag"] = self._origin(recent, experts, [] if bands is None else bands.level, notes)
        return frame

    def _earlier(self, longer: Recent, x_DCL: Tensor, first_D: Tensor) -> Tensor:
        """(D, C, H) forecasts of earlier windows, whose first rows are these."""
        return self.model.forecast(self._windows(x_DCL, longer.stamps.date_T[first_D.numpy()]))

    def _windows(self, x_BCL: Tensor, date_B: Seconds) -> WindowBatch:
        """Windows whose truth is not known; date_B: time stamp of the first row of each."""
        x_BCL, mark_BF, stamp_B = (
            part.to(self._device)
            for part in (x_BCL, torch.from_numpy(time_features(date_B)), torch.from_numpy(date_B.copy()))
        )
        return WindowBatch(torch.arange(len(x_BCL)), x_BCL, x_BCL[..., :0], mark_BF, stamp_B)

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _unscaled(self, y_1CH: Tensor, recent: Recent) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """(H, C), with what known columns add to each row of which they are known."""
        finite_C = torch.isfinite(y_1CH[0]).all(1).tolist()
        if not all(finite_C):
            names = [name for name, finite in zip(self.lookback.channels, finite_C, strict=True) if not finite]
            raise ExpectedError(
                f"the forecast of {listed(map(repr, names), 5)} is no finite number: the last {self.lookback.rows:,} "
                "rows hold values far beyond those of training; check them, and their unit"
            )
        scaled_HC = y_1CH[0].T.cpu().numpy().astype(np.float64)
        if self.scaler.effects is not None:
            effect_HC = self.scaler.effect(recent.known_after)[: self.horizon]
            scaled_HC[: len(effect_HC)] += effect_HC
        return self.scaler.unscale(scaled_HC)

    def _origin(self, recent: Recent, experts: bool, level: Sequence[float], said: Sequence[str]) -> dict[str, Any]:
        stamps = recent.stamps
        first, last = recent.told(0), recent.told(-1)
        arguments = {"point": self.point.name, "horizon": self.horizon, "seed": self.seed, "date": recent.date}
        notes = [
            f"forecast by {self.point.name} ({self._described()}), horizon {self.horizon:,}, seed {self.seed}; "
            f"validation loss {self.point.validation[self.horizon][self.seed]:.4f}",
            f"from the last {counted(len(stamps.date_T), 'row')}, {first} to {last}",
        ]
        if stamps.offset_T is not None:
            notes.append(f"time stamps keep the offset of the last row, {last[-6:]}: no change of clocks is foreseen")
        if self.lookback.known:
            notes.append(f"known columns taken as they are given: {listed(map(quoted, self.lookback.known), 5)}")
        notes += [*said, *recent.notes]
        if recent.unused:
            notes.append(f"{counted(len(recent.unused), 'column')} not used: {listed(map(quoted, recent.unused), 5)}")
        report = {"first_row": first, "last_row": last, "columns_not_used": recent.unused}
        arguments |= {"experts": experts, "level": list(level)}
        return origin_in_json("forecast", self.provenance, recent.origin, arguments, report, notes)

    def _described(self) -> str:
        if self.point.maps:
            found, *others = self.point.maps[self.horizon]
            if others:
                whose = "each channel" if self.point.name == CHANNEL_RIDGE else f"each of {len(others) + 1:,} groups"
                return f"a map of {whose}'s own, lookback {self.lookback.rows:,} at most"
            return f"lookback {found.lookback:,}, offset {found.offset}, penalty {found.penalty:.3g}"
        if self.point.experts == 1:
            return f"{self.point.backbone} alone"
        return f"{counted(self.point.experts, 'expert')} of {self.point.backbone}"


def _chosen(folder: Path, name: str | None, horizon: int | None) -> tuple[ForecastPoint, int]:
    """The point, and one of its horizons."""
    points = read_points(folder)
    if name is not None:
        if name not in {point.name for point in points}:
            names = listed(point.name for point in points)
            raise ExpectedError(f"no point {name!r} in {folder}: there are {names}; `dvc repro mole_train` trains more")
        points = [read_point(folder / name)]
    horizons = sorted({rows for point in points for rows in point.validation})
    horizon = horizons[-1] if horizon is None else horizon
    having = [point for point in points if horizon in point.validation]
    if not having:
        raise ExpectedError(
            f"{'no point' if name is None else name} in {folder} has horizon {horizon:,}: there are "
            f"{listed(horizons)}; add it to mole.sweep.recipe.horizons in params.yaml and train, or go beyond one of "
            "these by `forecast --rows`"
        )
    if name is not None:
        return having[0], horizon
    chosen = preferred(having, horizon)
    if chosen is None:
        names = listed(point.name for point in having)
        raise ExpectedError(f"no mixture of experts in {folder} has horizon {horizon:,}: name a point of {names}")
    return chosen, horizon
