"""The project itself in a fresh clone: every stage of the default DAG, its training cut short to seconds."""

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.engines.small_project import ROOT, Project
from tests.merged import merge

SHORT: dict[str, Any] = {
    "cfm_vc": {
        "vae": {"epochs": 2, "processes": 2},
        "flow": {"epochs": 2},
        "evaluate": {"steps": 2, "cells_per_group": 50, "bootstrap_replicates": 10},
    },
    "alphastomics": {
        "diffusion": {"epochs": 2, "neighbourhoods_per_epoch": 4},
        "evaluate": {"draws": 2, "steps": 10},
    },
    "bayes_moe": {
        "studies": {"digits": {"seeds": [0]}},
        "sweep": {"recipe": {"epochs": 1, "warmup_epochs": 0, "corrupted_pictures": 10}},
    },
    "mole": {
        "studies": {"series": {"seeds": [0]}},
        "sweep": {"recipe": {"epochs": 1, "horizons": [24]}},
        "ttnn": {"horizon": 24, "windows": 8, "batch_sizes": [1], "compiled_batch_sizes": [], "repeats": 5},
    },
}

# Times of this machine, and what shows them: they never repeat.
TIMED = frozenset(
    {
        "reports/mole/series/latency.json",
        "reports/chapters/mole/series.json",
        "reports/pages/mole-series.html",
        "reports/chapters",
        "reports/report.html",
        "reports/RESULTS.md",
        "reports/tracked.json",
    }
)

# Python imports it before anything else: the launcher of a stage leaves a line where neither engine looks.
LOG_STARTS = """
import json
import os
import sys

if sys.orig_argv[1:3] == ["-m", "pipeline.stage"] and "DVC_STAGE" in os.environ:
    stage = os.environ["DVC_STAGE"].rpartition(":")[2]
    if stage != "code":
        with open("../log.jsonl", "a") as stream:
            stream.write(json.dumps({"event": "start", "stage": stage}) + "\\n")
"""


class DefaultProject(Project):
    timeout = 1800
    timed = TIMED


def make_default(beside: Path) -> Project:
    """A clone of the last commit in the folder `beside`, before its first run."""
    clone = ["git", "clone", "--quiet", str(ROOT), str(beside / "project")]
    subprocess.run(clone, check=True, env=os.environ)
    (beside / "library").mkdir()
    (beside / "library/sitecustomize.py").write_text(LOG_STARTS)
    project = DefaultProject(beside)
    params = project.root / "params.yaml"
    content = yaml.safe_load(params.read_text())
    merge(content, SHORT)
    params.write_text(yaml.safe_dump(content, sort_keys=False))
    for name, value in (("name", "A Tester"), ("email", "tester@example.org")):
        project.call("git", "config", f"user.{name}", value)
    project.commit("Training cut short")
    return project
