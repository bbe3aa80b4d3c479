"""Note the hashes of one of several inputs of a study, a file or a zarr store, on which ingest depends."""

import os
from pathlib import Path

from pipeline.core import paths
from pipeline.core.entry import run_stage
from pipeline.core.files import sha256, write_json
from pipeline.params.reading import read_yaml


def run() -> None:
    """Write data/inputs/<system>/<study>/<number>.json."""
    entry = read_yaml(paths.PLAN)["plan"]["files"][os.environ["DVC_STAGE"].partition("@")[2]]
    source = Path(entry["source"])
    target = paths.INPUTS / entry["system"] / entry["study"] / f"{entry['number']}.json"
    files = sorted(file for file in source.rglob("*") if file.is_file()) if source.is_dir() else [source]
    write_json(target, {"path": entry["source"], "files": {str(file): sha256(file) for file in files}})


if __name__ == "__main__":
    run_stage(None, run)
