"""One section of tissue of 10,000, 100,000 and 1,000,000 cells from its recipe to its stitched placement: seconds and
peak memory of every step, and the placement of a held-out block beside baselines.

    python -m benchmarks.tissue --folder /tmp/bench                 # 4 GB on the disk
    python -m benchmarks.tissue --folder /tmp/bench --cells 10000

The section is simulated as the default data are, over 500 genes. Training is as long for all sizes: EPOCHS x
NEIGHBOURHOODS of 256 cells. The command `sample` places the whole section, stitched of neighbourhoods of 1,024 cells
(the estimate alone); the stage `score` judges both tasks on a part of the held-out block. Prints
markdown tables.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.processes import Measured, environment, load, measure

PROJECT = Path(__file__).resolve().parents[1]
CELLS = (10_000, 100_000, 1_000_000)
EPOCHS, NEIGHBOURHOODS = 4, 128
STUDY, FOLD = "large", "blocks_0"
RAW, STORE = Path("data/raw/alphastomics") / STUDY, Path("data/processed/alphastomics") / STUDY / FOLD
MODEL = Path("models/alphastomics") / STUDY / FOLD / "seed_0"
STEPS = {  # name, and the instance it is called with
    "ingest": STUDY,
    "preprocess": f"{STUDY}-{FOLD}",
    "diffusion_train": f"{STUDY}-{FOLD}-0",
}


def prepare(folder: Path, cells: int, threads: int) -> None:
    """A working folder with the recipe of one section, its settings and its plan."""
    if folder.exists():
        shutil.rmtree(folder)
    settings = folder / "data/settings/alphastomics"
    settings.mkdir(parents=True)
    recipe = yaml.safe_load((PROJECT / "data/embedded/tissue.yaml").read_text())
    recipe |= {"sections": 1, "cells_per_section": cells, "genes": 500, "markers_per_type": 10, "seed": 1}
    for field, genes in (("depth", 80), ("lateral", 70), ("patches", 30)):
        recipe[field]["genes"] = genes
    (folder / "tissue.yaml").write_text(yaml.safe_dump(recipe))
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())["alphastomics"]
    training = {"epochs": EPOCHS, "neighbourhoods_per_epoch": NEIGHBOURHOODS, "threads": threads}
    of_study: dict[str, Any] = {
        "ingest": params["studies"]["tissue"]["ingest"] | {"path": "tissue.yaml"},
        "preprocess": {FOLD: params["preprocess"] | {"test_sections": []}},
        "diffusion": params["diffusion"] | training,
        "evaluate": params["evaluate"] | {"draws": 1, "steps": 10, "threads": threads},
    }
    (settings / f"{STUDY}.json").write_text(json.dumps(of_study))
    study = {"system": "alphastomics", "study": STUDY}
    fold = study | {"fold": FOLD}
    plan = {
        "studies": {f"alphastomics-{STUDY}": study},
        "folds": {f"alphastomics-{STUDY}-{FOLD}": fold},
        "alphastomics": {"runs": {f"{STUDY}-{FOLD}-0": {"study": STUDY, "fold": FOLD, "seed": 0}}},
    }
    (folder / "plan.yaml").write_text(yaml.safe_dump({"plan": plan}))


def steps_of(folder: Path, threads: int) -> dict[str, Measured]:
    """Every step in a process of its own; this one stays small, or its memory would be theirs."""
    found = {
        name: measure([sys.executable, "-m", f"pipeline.alphastomics.stages.{name}", instance], folder)
        for name, instance in STEPS.items()
    }
    options = ["--mode", "expr_to_pos", "--section-column", "section", "--cell-type-column", "cell_type"]
    options += ["--num-samples", "0", "--threads", str(threads), "--model", str(MODEL)]
    files = ["--data", str(RAW / "cells.h5ad"), "--out", "placed.h5ad"]
    command = [sys.executable, "-c", "from pipeline.cli import main; import sys; main(sys.argv[1:])", "sample"]
    found["sample"] = measure([*command, *options, *files], folder)
    score = [sys.executable, "-m", "pipeline.alphastomics.stages.score", STEPS["diffusion_train"]]
    return found | {"score": measure(score, folder)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where sections, stores and models go")
    parser.add_argument("--cells", type=int, nargs="+", default=list(CELLS))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    print(f"{load()}; {arguments.threads} threads\n", flush=True)
    print("| cells | step | seconds | CPU seconds | peak memory |\n|---|---|---|---|---|", flush=True)
    scored = []
    for cells in arguments.cells:
        folder = arguments.folder.resolve() / f"tissue_{cells}"
        prepare(folder, cells, arguments.threads)
        for name, took in steps_of(folder, arguments.threads).items():
            print(
                f"| {cells:,} | {name} | {took.seconds:.0f} | {took.cpu_seconds:.0f} | {took.peak_mib:,.0f} MiB |",
                flush=True,
            )
        command = [sys.executable, "-m", "benchmarks.tissue_quality", str(folder)]
        scored.append(subprocess.run(command, env=environment(), check=True, capture_output=True, text=True).stdout)
    print(
        "\n| cells | placed by | spearman_distances | knn_overlap | rmsd_in_frame_over_gyration |\n" + "|---" * 5 + "|"
    )
    print("".join(scored), end="")


if __name__ == "__main__":
    main()
