"""Choices of the model by measurement: each variant predicts validation pairs, which are not the pairs it is judged on.

    python -m benchmarks.choices                                     # embedded data
    python -m benchmarks.choices --h5ad cells.h5ad --columns group_id cluster_id sample_id '(\\d+)$' --control ctrl \\
        --pair 'CD8 T cells' stim --pair 'FCGR3A+ Monocytes' stim    # a lab's file: perturbation, cell type, batch
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

ROOT = Path(__file__).parents[1]
PAIRS = [["CD8+ Cytotoxic T", "cytokine"], ["CD4+/CD25 T Reg", "inhibitor"]]
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "default": {},
    "decoder with hidden layers": {"vae": {"decoder_hidden": [128, 128]}},
    "start from noise": {"flow": {"source": "noise"}},
    "independent coupling": {"flow": {"coupling": "independent"}},
    "no distribution loss": {"flow": {"distribution_weight": 0.0}},
}
METRICS = ["pearson_change", "pearson_change_top100", "mse", "e_distance"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--h5ad", type=Path)
    parser.add_argument("--columns", nargs=4, metavar=("PERTURBATION", "CELL_TYPE", "BATCH", "BATCH_PATTERN"))
    parser.add_argument("--control")
    parser.add_argument("--pair", nargs=2, action="append", metavar=("CELL_TYPE", "PERTURBATION"))
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()

    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    ingest = params["ingest"]["perturbation"]
    ingest["path"] = str(ROOT / ingest["path"])
    if arguments.h5ad:
        perturbation, cell_type, batch, pattern = arguments.columns
        column = {"column": batch, "pattern": pattern}
        ingest["columns"] = {"perturbation": perturbation, "cell_type": cell_type, "batch": column}
        ingest.update(path=str(arguments.h5ad.resolve()), control=arguments.control)
    params["preprocess"]["perturbation"]["held_out"] = [
        {"cell_type": cell_type, "perturbation": perturbation} for cell_type, perturbation in arguments.pair or PAIRS
    ]

    print(f"mean ± sd over {arguments.seeds} seeds\n")
    print("| variant | " + " | ".join(METRICS) + " |\n|" + "---|" * (1 + len(METRICS)))
    for name, changes in VARIANTS.items():
        scores = [scores_of(params, changes, seed) for seed in range(arguments.seeds)]
        if name == "default":
            print(row("additive shift", [table["additive_shift"] for table in scores]))
        print(row(name, [table["cfm_vc"] for table in scores]), flush=True)


def row(name: str, scores: list[dict[str, float]]) -> str:
    table = pd.DataFrame(scores)[METRICS]
    cells = [f"{mean:.3f} ± {sd:.3f}" for mean, sd in zip(table.mean(), table.std(), strict=True)]
    return f"| {name} | " + " | ".join(cells) + " |"


def scores_of(params: dict[str, Any], changes: dict[str, dict[str, Any]], seed: int) -> dict[str, dict[str, float]]:
    """Run the stages in a folder of their own; mean over the pairs of each metric, by method."""
    effective = {section: {**content, **changes.get(section, {})} for section, content in params.items()}
    effective["vae"]["seed"] = effective["flow"]["seed"] = seed
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "params.yaml").write_text(yaml.safe_dump(effective))
        for stage in (
            "ingest perturbation",
            "preprocess perturbation",
            "vae_pretrain",
            "flow_train",
            "evaluate perturbation",
        ):
            command = [sys.executable, "-m", *f"pipeline.stages.{stage}".split()]
            subprocess.run(
                command, cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": ""}, check=True, stdout=subprocess.DEVNULL
            )
        table = pd.read_csv(Path(folder, "reports/tables/perturbation.csv"))
    means = table.pivot_table(values="value", index="method", columns="metric")[METRICS]
    return {str(method): {str(k): float(v) for k, v in line.items()} for method, line in means.iterrows()}


if __name__ == "__main__":
    main()
