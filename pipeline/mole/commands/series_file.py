"""Options shared by `forecast` and `cross-validate`: the series, and the forecaster."""

import argparse
from pathlib import Path

from pipeline.mole.data.csv_form import CsvOptions
from pipeline.mole.trained import Forecaster


def add_series_arguments(parser: argparse.ArgumentParser) -> None:
    """Options for the CSV file and how it is read."""
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="FILE",
        help="the series (.csv): dates, the channels of training and, if there are any, known columns",
    )
    parser.add_argument(
        "--date", metavar="NAME", help="its column of time stamps (default: date, or the only one that holds dates)"
    )
    parser.add_argument("--separator", metavar="MARK", help="between its columns (default: found out)")
    parser.add_argument("--decimal", choices=(".", ","), help="the mark in its numbers (default: found out)")
    parser.add_argument(
        "--date-format", metavar="FORM", help="of its time stamps, such as %%d/%%m/%%Y %%H:%%M (default: found out)"
    )


def add_forecaster_arguments(parser: argparse.ArgumentParser) -> None:
    """Options for the trained forecaster and its intervals."""
    parser.add_argument(
        "--point",
        metavar="NAME",
        help="of mole.sweep.points, or ridge (default: what validation prefers, a mixture of experts or the ridge)",
    )
    parser.add_argument("--horizon", type=int, metavar="N", help="rows to forecast, as trained (default: the most)")
    parser.add_argument("--seed", type=int, metavar="N", help="as trained (default: that of least validation loss)")
    parser.add_argument(
        "--level",
        type=float,
        nargs="+",
        default=[],
        metavar="PERCENT",
        help="write the ends of prediction intervals, too, such as 80 90: columns NAME-lo-90 and NAME-hi-90",
    )
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="default: those of the only study")


def csv_options(arguments: argparse.Namespace) -> CsvOptions:
    """How the file is read, from the options of `add_series_arguments`."""
    return CsvOptions(arguments.date, arguments.separator, arguments.decimal, arguments.date_format)


def load(arguments: argparse.Namespace, device: str) -> Forecaster:
    """The forecaster, from the options of `add_forecaster_arguments`."""
    return Forecaster.load(arguments.model, arguments.horizon, arguments.point, arguments.seed, device)
