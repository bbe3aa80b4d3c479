"""`python -m pipeline forecast`: the rows that follow the last ones of a CSV file."""

import argparse
from pathlib import Path

from pipeline.commands.output import add_output_arguments, check_options, check_place, prepare_output
from pipeline.core.files import write_json, write_text
from pipeline.data.source import counted
from pipeline.mole.data.csv_form import CsvOptions
from pipeline.mole.data.new_series import recent_of_file
from pipeline.mole.trained import Forecaster
from pipeline.params.section import Seed, Window


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="the series (.csv): dates and the channels of training"
    )
    parser.add_argument(
        "--date", default="date", metavar="NAME", help="its column of time stamps (default: %(default)s)"
    )
    parser.add_argument("--separator", metavar="MARK", help="between its columns (default: found out)")
    parser.add_argument("--decimal", choices=(".", ","), help="the mark in its numbers (default: found out)")
    parser.add_argument(
        "--date-format", metavar="FORM", help="of its time stamps, such as %%d/%%m/%%Y %%H:%%M (default: found out)"
    )
    parser.add_argument(
        "--point",
        metavar="NAME",
        help="of mole.sweep.points, or ridge (default: what validation prefers, a mixture of experts or the ridge)",
    )
    parser.add_argument("--horizon", type=int, metavar="N", help="rows to forecast, as trained (default: the most)")
    parser.add_argument("--seed", type=int, metavar="N", help="as trained (default: that of least validation loss)")
    parser.add_argument("--experts", action="store_true", help="write each expert's own forecast, too")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="default: those of the only study")
    add_output_arguments(parser, ".csv")


def run(arguments: argparse.Namespace) -> None:
    """Forecast, write, and say what was done; where it comes from goes to a JSON file beside the CSV."""
    check_options(arguments, {"horizon": Window, "seed": Seed})
    out: Path = arguments.out
    origin = out.with_name(f"{out.name}.json")
    device = prepare_output(arguments, arguments.data)
    check_place(origin, arguments.overwrite, arguments.data)
    forecaster = Forecaster.load(arguments.model, arguments.horizon, arguments.point, arguments.seed, device)
    options = CsvOptions(arguments.date, arguments.separator, arguments.decimal, arguments.date_format)
    recent = recent_of_file(arguments.data, options, forecaster.lookback)
    forecast = forecaster.forecast_recent(recent, arguments.experts)
    dates = forecast[arguments.date].map(lambda date: date.isoformat(" "))  # with the offset from UTC, if there is one
    text = forecast.assign(**{arguments.date: dates}).to_csv(index=False, lineterminator="\n")
    write_text(out, text)
    write_json(origin, forecast.attrs["celldag"])
    size = f"{counted(len(forecast), 'row')} of {counted(len(forecaster.lookback.channels), 'channel')}"
    print("\n".join([f"{size} forecast", *forecast.attrs["celldag"]["notes"], f"wrote {out} and {origin}"]))
