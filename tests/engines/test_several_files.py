"""A folder of a lab's files in a fresh clone, run by DVC and by Snakemake: one file more ingests that file alone, and a
broken one does not keep the others."""

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import yaml

from tests.fresh_clone import fresh_clone

STUDY = {
    "ingest": {"path": "lab", "columns": {"perturbation": "condition", "cell_type": "cluster"}, "control": "ctrl"},
    "held_out": [{"cell_type": "B", "perturbation": "stim"}],
}


def call(folder: Path, command: str) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CI")}
    done = subprocess.run(
        ["bash", "-c", f"source .venv/bin/activate && {command}"],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def ran(output: str) -> list[str]:
    """Which stages ran, without `code`."""
    return [name for name in re.findall(r"Running stage '([^']+)'", output) if name != "code"]


def test_a_file_more_ingests_that_file_alone_and_a_broken_one_keeps_no_other(tmp_path: Path, lab_adata) -> None:
    project = fresh_clone(tmp_path / "project")
    lab = project / "lab"
    lab.mkdir()
    donor = lab_adata.obs["donor"].to_numpy()
    lab_adata[donor == "d1"].copy().write_h5ad(lab / "d1.h5ad")
    lab_adata[donor == "d2"].copy().write_zarr(lab / "donor 2.zarr")
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["cfm_vc"]["studies"] = {"lab": STUDY}
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    code, said = call(project, "python -m pipeline plan && dvc repro ingest@cfm_vc-lab")
    assert code == 0, said
    second = next(path.name for path in (project / "data/inputs/cfm_vc/lab").glob("donor_2_*"))
    assert sorted(ran(said)) == [
        "ingest@cfm_vc-lab",
        "ingest_file@cfm_vc-lab-d1",
        f"ingest_file@cfm_vc-lab-{second}",
        "list_files@cfm_vc-lab",
    ]
    assert "batches: 2 (d1, donor 2)" in said

    more = lab_adata[donor == "d1"].copy()
    more.obs_names = [f"more {name}" for name in more.obs_names]
    more = more[:, np.arange(more.n_vars)[::-1]].copy()
    more.write_h5ad(lab / "a.h5ad")  # in front of the others
    code, said = call(project, "dvc repro ingest@cfm_vc-lab")
    assert code != 0
    assert "lab holds other files than plan.yaml lists: a.h5ad (new); run `python -m pipeline plan`" in said
    more.write_h5ad(lab / "b.h5ad")
    os.truncate(lab / "b.h5ad", 3000)

    target = ".stamps/ingest@cfm_vc-lab"  # Snakemake updates the plan by itself
    code, said = call(project, f"snakemake --cores 2 --keep-going --quiet all -- {target}")
    assert code != 0
    assert "error: lab/b.h5ad is truncated" in said
    assert set(ran(said)) == {"ingest_file@cfm_vc-lab-a", "ingest_file@cfm_vc-lab-b", "list_files@cfm_vc-lab"}
    more.obs_names = [f"again {name}" for name in more.obs_names]
    more.write_h5ad(lab / "b.h5ad")
    code, said = call(project, f"snakemake --cores 2 --quiet all -- {target}")
    assert code == 0, said
    assert set(ran(said)) == {"ingest_file@cfm_vc-lab-b", "list_files@cfm_vc-lab", "ingest@cfm_vc-lab"}
    assert "batches: 4 (a, b, d1, donor 2)" in said

    for name in ("a", "b"):
        (lab / f"{name}.h5ad").unlink()
    code, said = call(project, "python -m pipeline plan && dvc repro ingest@cfm_vc-lab")
    assert code == 0, said
    assert not [name for name in ran(said) if name.startswith("ingest_file")]
    assert sorted(path.name for path in (project / "data/inputs/cfm_vc/lab").iterdir()) == ["d1", second, "files.json"]
