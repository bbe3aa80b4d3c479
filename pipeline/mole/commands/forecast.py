"""`python -m pipeline forecast`: the rows that follow the last ones of a CSV file."""

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.commands.output import add_output_arguments, check_options, check_place, prepare_output
from pipeline.core.errors import ExpectedError
from pipeline.core.files import atomic_file, write_json, write_text
from pipeline.core.wording import counted
from pipeline.mole.commands.series_file import add_forecaster_arguments, add_series_arguments, csv_options, load
from pipeline.mole.data.new_series import Recent, recent_of_file
from pipeline.mole.recursion import check_rows, forecast_rows
from pipeline.mole.trained import Forecaster
from pipeline.params.section import Seed, Window

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.mole.plots.forecast_sheet import Dates

PICTURES = (".svg", ".png")
MOST_DRAWN = 12  # channels
HISTORY = 2  # times the horizon that is drawn of the rows before, as far as they were read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_series_arguments(parser)
    add_forecaster_arguments(parser)
    parser.add_argument(
        "--rows", type=int, metavar="N", help="to forecast (default: the horizon); more than it from forecasts"
    )
    parser.add_argument("--experts", action="store_true", help="write each expert's own forecast, too")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the forecast, too (.svg or .png)")
    parser.add_argument("--json", action="store_true", help="print what was done, and the forecast, as JSON")
    add_output_arguments(parser, ".csv")


def run(arguments: argparse.Namespace) -> None:
    """Forecast, write, and say what was done; where it comes from goes to a JSON file beside the CSV."""
    check_options(arguments, {"horizon": Window, "seed": Seed, "rows": Window})
    out, plot = arguments.out, arguments.plot
    origin = out.with_name(f"{out.name}.json")
    device = prepare_output(arguments, arguments.data)
    check_place(origin, arguments.overwrite, arguments.data)
    if plot is not None:
        _check_picture(plot, arguments)
    forecaster = load(arguments, device)
    rows = arguments.rows or forecaster.horizon
    check_rows(rows, forecaster.horizon, arguments.experts, bool(arguments.level))
    bands = forecaster.bands(arguments.level)
    recent = recent_of_file(arguments.data, csv_options(arguments), forecaster.reads(bands))
    forecast = forecast_rows(forecaster, recent, rows, arguments.experts, bands)
    date_H = forecast[recent.date].dt.tz_localize(None).to_numpy().astype("datetime64[s]")  # by the clock of the file
    dates = [recent.step.stamp(date, recent.stamps.offset(-1)) for date in date_H.astype(np.int64)]
    written = forecaster.as_read(forecast.assign(**{recent.date: dates}), recent)
    write_text(out, written.to_csv(index=False, lineterminator="\n"))
    write_json(origin, forecast.attrs["celldag"])
    if plot is not None:
        with atomic_file(plot) as partial:
            partial.write_bytes(_drawn(forecaster, recent, forecast, date_H, arguments))
    files = [str(path) for path in (out, origin, plot) if path is not None]
    if arguments.json:
        told = {**forecast.attrs["celldag"], "written": files, "forecast": written.to_dict("list")}
        print(json.dumps(told, indent=1, allow_nan=False))
        return
    notes = list(forecast.attrs["celldag"]["notes"])
    if plot is not None and len(forecaster.lookback.channels) > MOST_DRAWN:
        notes.append(f"drawn: the first {MOST_DRAWN} channels")
    size = f"{counted(len(forecast), 'row')} of {counted(len(forecaster.lookback.channels), 'channel')}"
    wrote = f"wrote {', '.join(files[:-1])} and {files[-1]}"
    print("\n".join([f"{size} forecast", *notes, wrote]))


def _check_picture(plot: Path, arguments: argparse.Namespace) -> None:
    if plot.suffix.lower() not in PICTURES:
        raise ExpectedError(f"--plot {plot}: expected a name that ends in {' or '.join(PICTURES)}")
    check_place(plot, arguments.overwrite, arguments.data)


def _drawn(
    forecaster: Forecaster, recent: Recent, forecast: "pd.DataFrame", date_H: "Dates", arguments: argparse.Namespace
) -> bytes:
    from pipeline.mole.plots.forecast_sheet import Panel, draw_sheet

    rows = min(len(recent.value_TC), math.ceil(HISTORY * len(forecast)))
    panels = []
    for place, name in enumerate(forecaster.lookback.channels[:MOST_DRAWN]):
        band = {
            level: (forecast[f"{name}-lo-{level:g}"].to_numpy(), forecast[f"{name}-hi-{level:g}"].to_numpy())
            for level in arguments.level
        }
        panels.append(Panel(name, recent.value_TC[-rows:, place], forecast[name].to_numpy(), band))
    past = recent.stamps.date_T[-rows:].astype("datetime64[s]")
    return draw_sheet(past, date_H, panels, arguments.plot.suffix.lower().removeprefix("."))
