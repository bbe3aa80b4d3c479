"""Many series in one file of long format, from the file to forecasts: seconds and peak memory of every step.

    python -m benchmarks.many_series --series 100 --rows 500

`python -m benchmarks.forecast_speed` calls it beside the other tables.

The series are simulated days, with a week and a year of their own, and noise of which a part lasts. `new` drafts the
study as it does for a lab's file; `ingest`, the searched `ridge` and one mixture, `mole_dlinear`, are the stages of the
pipeline; `cross-validate` forecasts from 3 cutoffs, with intervals, and `forecast` from the end.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml

from benchmarks.processes import Measured, measure

PROJECT = Path(__file__).resolve().parents[1]
STUDY, POINT, FILE = "many", "mole_dlinear", "many.csv"
WINDOWS, LEVEL = 3, 90


def simulated(number: int, rows: int) -> Iterator[str]:
    """The lines of one series in long format."""
    random = np.random.default_rng(number)
    time_T = np.arange(rows)
    level, weekly, yearly, phase = (random.uniform(low, 1) for low in (0.1, 0, 0, 0))
    week_T = weekly * np.sin(2 * np.pi * (time_T / 7 + phase))
    year_T = yearly * np.sin(2 * np.pi * (time_T / 365.25 + phase))
    noise_T = 0.05 * random.normal(size=rows).cumsum() + 0.3 * random.normal(size=rows)
    value_T = 100 * level * (3 + week_T + year_T + noise_T)
    dates = np.datetime64("2019-01-01") + time_T
    return (f"series_{number},{date},{value:.2f}\n" for date, value in zip(dates, value_T, strict=True))


def prepare(folder: Path, series: int, rows: int) -> None:
    """A working folder with the file, and with the project's parameters but no study."""
    with (folder / FILE).open("w") as stream:
        stream.write("unique_id,ds,y\n")
        for number in range(series):
            stream.writelines(simulated(number, rows))
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    for section in params.values():
        if isinstance(section.get("studies"), dict):
            section["studies"] = {}
    shutil.copy(PROJECT / "dvc.yaml", folder)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def steps_of(folder: Path) -> dict[str, Measured]:
    """Print and return every step, in a process of its own; this one stays small, or its memory would be theirs."""
    command = [sys.executable, "-c", "from pipeline.cli import main; import sys; main(sys.argv[1:])"]
    plan = [sys.executable, "-c", "from pipeline.plan import make_plan; make_plan(with_settings=True)"]
    files = ["--data", FILE, "--model", f"models/mole/{STUDY}"]
    cutoffs = ["--windows", str(WINDOWS), "--level", str(LEVEL), "--out", "cutoffs.csv"]
    commands = {
        "new": [*command, "new", FILE],
        "settings": plan,
        "ingest": [sys.executable, "-m", "pipeline.mole.stages.ingest", STUDY],
        "ridge": [sys.executable, "-m", "pipeline.mole.stages.ridge", STUDY],
        "mole_train": [sys.executable, "-m", "pipeline.mole.stages.mole_train", f"{STUDY}-{POINT}"],
        "cross-validate": [*command, "cross-validate", *files, *cutoffs],
        "forecast": [*command, "forecast", *files, "--level", str(LEVEL), "--out", "forecast.csv"],
    }
    found = {}
    for name, step in commands.items():
        took = found[name] = measure(step, folder)
        print(f"| {name} | {took.seconds:.1f} | {took.cpu_seconds:.1f} | {took.peak_mib:,.0f} MiB |", flush=True)
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=1_000)
    parser.add_argument("--rows", type=int, default=2_000)
    arguments = parser.parse_args()
    print(f"| {arguments.series:,} series x {arguments.rows:,} rows | seconds | CPU seconds | peak memory |")
    print("|---|--:|--:|--:|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        prepare(Path(scratch), arguments.series, arguments.rows)
        found = steps_of(Path(scratch))
    seconds, cpu = (sum(getattr(took, name) for took in found.values()) for name in ("seconds", "cpu_seconds"))
    most = max(took.peak_mib for took in found.values())
    print(f"| in all, the most | {seconds:.0f} | {cpu:.0f} | {most:,.0f} MiB |")


if __name__ == "__main__":
    main()
