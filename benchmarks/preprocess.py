"""Speed and memory of the preprocess stage on generated cells, compared with a naive script.

    python -m benchmarks.preprocess --folder /tmp/bench                       # 100,000 and 1,000,000 cells
    python -m benchmarks.preprocess --folder /tmp/bench --cells 100000 --compare

Prints markdown tables. Times are those of whole processes, imports included; speed is the non-zeros of the input over
that time. The 1,000,000 cells take 4.5 GB on the disk.
"""

import argparse
import sys
from pathlib import Path

import yaml

from benchmarks.generate_h5ad import CELL_TYPES, CONTROL, PERTURBATIONS
from benchmarks.processes import Measured, load, measure
from pipeline.core.files import write_json
from pipeline.data.standard_h5ad_reader import open_standard_h5ad

PROJECT = Path(__file__).resolve().parents[1]


def prepared(folder: Path, cells: int) -> tuple[Path, int]:
    """A working folder with generated cells as ingest leaves them, made once; and their number of non-zeros."""
    project = folder / f"{cells}"
    raw = project / "data" / "raw" / "cfm_vc"
    raw.mkdir(parents=True, exist_ok=True)
    if not (raw / "source.json").exists():
        # In a process of its own, since a large parent would show in the memory measured later.
        measure(
            [sys.executable, PROJECT / "benchmarks" / "generate_h5ad.py", raw / "cells.h5ad", "--cells", f"{cells}"],
            project,
        )
        source = {
            "schema_version": 1,
            "kind": "perturbation",
            "simulated": False,
            "description": "Generated for a benchmark",
            "input": "generated",
            "input_sha256": "",
            "control": CONTROL,
            "notes": [],
        }
        write_json(raw / "source.json", source)
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["cfm_vc"]["preprocess"] |= {
        "min_counts_per_cell": 200,
        "min_genes_per_cell": 100,
        "min_cells_per_gene": 10,
        "highly_variable_genes": 2000,
        "held_out": [{"cell_type": CELL_TYPES[0], "perturbation": PERTURBATIONS[1]}],
    }
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    with open_standard_h5ad(raw / "cells.h5ad") as reader:
        return project, reader.nonzeros


def row(name: str, cells: int, nonzeros: int, measured: Measured) -> str:
    """A line of the table."""
    speed = nonzeros / measured.seconds / 1e6
    return (
        f"| {name} | {cells:,} | {nonzeros / 1e6:,.0f} M | {measured.seconds:.1f} s | {measured.cpu_seconds:.1f} s "
        f"| {speed:.1f} M/s | {measured.peak_mib:,.0f} MiB |"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where generated files and stores go")
    parser.add_argument("--cells", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--compare", action="store_true", help="run the obvious script on the same cells")
    arguments = parser.parse_args()
    print(f"{load()}\n", flush=True)
    print("| what | cells | non-zeros | wall | CPU | non-zeros/wall | peak memory |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for cells in arguments.cells:
        project, nonzeros = prepared(arguments.folder.resolve(), cells)
        stage = measure([sys.executable, "-m", "pipeline.cfm_vc.stages.preprocess"], project)
        print(row("preprocess stage", cells, nonzeros, stage), flush=True)
        if arguments.compare:
            script = PROJECT / "benchmarks" / "obvious_preprocess.py"
            command = [sys.executable, script, "data/raw/cfm_vc/cells.h5ad", "obvious.parquet"]
            obvious = measure(command, project)
            print(row("obvious script", cells, nonzeros, obvious), flush=True)
            sizes = [sum(f.stat().st_size for f in p.rglob("*.parquet")) for p in (project / "data", project)]
            print(
                f"\nThe stage is {obvious.seconds / stage.seconds:.1f} times faster; its store takes "
                f"{sizes[0] / 2**20:,.0f} MiB, the script's table {(sizes[1] - sizes[0]) / 2**20:,.0f} MiB.\n"
            )


if __name__ == "__main__":
    main()
