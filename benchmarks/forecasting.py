"""All forecasters of params.yaml on a measured series, beside the baselines, over several seeds and horizons.

    python -m benchmarks.forecasting benchmarks/etth1.yaml
    python -m benchmarks.forecasting benchmarks/etth1_published.yaml --points dlinear,mole_dlinear

Runs the stages themselves (ingest@mole, mole_train@..., evaluate@mole) with the parameters of the YAML laid
over params.yaml. Every test window counts; the mixture is chosen by validation. Writes <name>.csv, which has a row per
horizon, method, seed and metric, and <name>.json to reports/mole/measured, which the report shows.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pipeline.mole.paths import PATHS

from benchmarks.other_data import ROOT, commit, laid_over, working_in
from pipeline.core import paths
from pipeline.core.files import read_json, write_json, write_text
from pipeline.mole.stages import evaluate as forecasting
from pipeline.mole.stages import ingest as series
from pipeline.mole.stages import mole_train
from pipeline.params.reading import validated
from pipeline.registry import Params

OUT = ROOT / PATHS.measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="YAML: title, and params to lay over params.yaml")
    parser.add_argument("--points", metavar="A,B", help="of mole.sweep.points; default: all of them")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="points trained at once")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    of = commit()  # before anything is written here
    study = yaml.safe_load(arguments.data.read_text())
    params = laid_over(yaml.safe_load((ROOT / paths.PARAMS).read_text()), study["params"])
    if arguments.points is not None:
        points = params["mole"]["sweep"]["points"]
        params["mole"]["sweep"]["points"] = {name: points[name] for name in arguments.points.split(",")}
    path = (ROOT / params["mole"]["ingest"]["path"]).resolve()
    params["mole"]["ingest"]["path"] = str(path)
    settings = validated(Params, params, str(arguments.data))

    with tempfile.TemporaryDirectory() as folder, working_in(folder):
        series.run(settings.mole.ingest)
        source = read_json(PATHS.raw / "source.json")
        # Stages want a process to themselves, as their engines give them.
        with ProcessPoolExecutor(arguments.processes, multiprocessing.get_context("spawn")) as pool:
            for name in pool.map(partial(_train, folder, params), settings.mole.sweep.points):
                print(f"{name} trained", file=sys.__stdout__, flush=True)
        forecasting.run(settings.mole.sweep, settings.mole.evaluate)
        table = PATHS.results.read_text()
        choices = read_json(PATHS.details / "choices.json")

    arguments.out.mkdir(parents=True, exist_ok=True)
    write_text(arguments.out / f"{arguments.data.stem}.csv", table)
    about = {
        "title": study["title"],
        "description": source["description"],
        "data_sha256": source["input_sha256"],
        "command": " ".join(["python -m benchmarks.forecasting", *sys.argv[1:]]),
        "commit": of,
        "parameters": study["params"],
        **choices,
    }
    write_json(arguments.out / f"{arguments.data.stem}.json", about)


def _train(folder: str, params: Mapping[str, Any], name: str) -> str:
    with working_in(folder):
        mole_train.run(validated(Params, params, "params").mole.sweep, name)
    return name


if __name__ == "__main__":
    main()
