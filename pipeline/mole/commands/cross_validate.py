"""`python -m pipeline cross-validate`: forecasts from earlier cutoffs of a CSV file, beside what then happened."""

import argparse
import json

from pipeline.commands.output import add_output_arguments, check_options, check_place, prepare_output
from pipeline.core.files import write_json, write_text
from pipeline.core.wording import counted
from pipeline.mole.commands.series_file import add_forecaster_arguments, add_series_arguments, csv_options, load
from pipeline.mole.cross_validation import cross_validation, errors, looked_at
from pipeline.mole.data.new_series import recent_of_file
from pipeline.params.section import Seed, Window

MOST_SHOWN = 20  # channels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_series_arguments(parser)
    add_forecaster_arguments(parser)
    parser.add_argument("--windows", type=int, default=5, metavar="N", help="cutoffs (default: %(default)s)")
    parser.add_argument("--step", type=int, metavar="N", help="rows between cutoffs (default: the horizon)")
    parser.add_argument("--json", action="store_true", help="print what was done, and the errors, as JSON")
    add_output_arguments(parser, ".csv")


def run(arguments: argparse.Namespace) -> None:
    """Forecast at every cutoff, write, and say how large the errors are; where it comes from goes to a JSON file beside
    the CSV."""
    check_options(arguments, {"horizon": Window, "seed": Seed, "windows": Window, "step": Window})
    origin, level = arguments.out.with_name(f"{arguments.out.name}.json"), arguments.level
    device = prepare_output(arguments, arguments.data)
    check_place(origin, arguments.overwrite, arguments.data)
    forecaster = load(arguments, device)
    asked = (arguments.windows, arguments.step or forecaster.horizon, level)
    series = recent_of_file(arguments.data, csv_options(arguments), looked_at(forecaster, *asked))
    found = cross_validation(forecaster, series, *asked)
    table = errors(found, forecaster.point.name, level)
    write_text(arguments.out, found.to_csv(index=False, lineterminator="\n"))
    write_json(origin, found.attrs["celldag"])
    files = [str(arguments.out), str(origin)]
    if arguments.json:
        told = {**found.attrs["celldag"], "written": files, "errors": table.to_dict("index")}
        print(json.dumps(told, indent=1, allow_nan=False))
        return
    notes = list(found.attrs["celldag"]["notes"])
    size = f"{counted(len(found), 'row')}: {counted(arguments.windows, 'forecast')} of {counted(len(table), 'channel')}"
    if len(table) > MOST_SHOWN:
        notes.append(f"shown: the errors of the first {MOST_SHOWN} of {len(table):,} channels; --json has all")
    shown = table[:MOST_SHOWN].rename_axis(None).to_string(float_format=lambda value: f"{value:.4g}")
    print("\n".join([size, *notes, shown, f"wrote {files[0]} and {files[1]}"]))
