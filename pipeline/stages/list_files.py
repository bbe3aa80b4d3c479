"""Note which files a study's folder holds: the merge depends on it, so that a file more or less is noticed."""

import os

from pipeline.core import paths
from pipeline.core.entry import run_stage
from pipeline.core.errors import ExpectedError
from pipeline.core.files import write_json
from pipeline.core.paths import StudyPaths
from pipeline.core.wording import listed
from pipeline.data.input_files import input_files
from pipeline.data.parts import FOUND, planned_files
from pipeline.params.reading import read_yaml


def run() -> None:
    """Write data/inputs/<system>/<study>/files.json. ExpectedError where plan.yaml lists other files."""
    entry = read_yaml(paths.PLAN)["plan"]["folders"][os.environ["DVC_STAGE"].partition("@")[2]]
    at = StudyPaths(entry["system"], entry["study"])
    inputs = input_files(entry["source"], f"{at.key}.ingest.path")
    found, planned = {file.name for file in inputs.files}, {file.name for file in planned_files(at).values()}
    if found != planned:
        more = [f"{name} (new)" for name in sorted(found - planned)]
        raise ExpectedError(
            f"{entry['source']} holds other files than plan.yaml lists: "
            f"{listed([*more, *(f'{name} (gone)' for name in sorted(planned - found))], 5)}; run `python -m pipeline "
            "plan`, and then the same command again"
        )
    write_json(at.parts / FOUND, {"files": [file.name for file in inputs.files], "notes": inputs.notes})


if __name__ == "__main__":
    run_stage(None, run)
