"""The DVC stage `track`: what it writes is a function of the results alone."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.files import read_json
from pipeline.params.track import Track
from pipeline.stages.track import run


def test_it_writes_which_results_were_mirrored_and_nothing_that_varies(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(Track(experiment="celldag"))
    written = Path("reports/tracked.json").read_bytes()
    assert list(read_json(Path("reports/tracked.json"))["stages"]) == [
        "evaluate@cfm_vc-pbmc",
        "ingest@cfm_vc-pbmc",
        "preprocess@cfm_vc-pbmc-held_out",
        "report",
        "vae_pretrain@pbmc-held_out-0",
    ]
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "The same results"], check=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///another.db")
    run(Track(experiment="celldag"))
    assert Path("reports/tracked.json").read_bytes() == written
    project.results(0.2)
    run(Track(experiment="celldag"))
    assert Path("reports/tracked.json").read_bytes() != written
