"""Speed and memory of the preprocess stage on generated cells, by one worker and by two.

    python -m benchmarks.preprocess --folder /tmp/bench                       # 10^5, 10^6 and 10^7 cells
    python -m benchmarks.preprocess --folder /tmp/bench --cells 100000 --compare

20,000 genes. Prints markdown tables and draws benchmarks/preprocess.svg, memory over time. Times are those of whole
processes, imports included; speed is the non-zeros of the input over that time; memory is that of the stage and its
workers together, what they share counted once. 10^6 cells are one file of 4.5 GB, 10^7 ten hard links to it, which are
read as ten files. `--compare` runs a naive script on the same cells.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import yaml

from benchmarks.generate_h5ad import CELL_TYPES, CONTROL, PERTURBATIONS
from benchmarks.processes import Measured, load, measure
from pipeline.core.files import sha256, write_json
from pipeline.data.raw_cells import UNION
from pipeline.data.standard_h5ad_reader import open_standard_h5ad
from pipeline.data.union_reader import Member, Union

PROJECT = Path(__file__).resolve().parents[1]
PICTURE = PROJECT / "benchmarks" / "preprocess.svg"
MOST_IN_A_FILE = 1_000_000
RAW, PARTS = Path("data/raw/cfm_vc/cells"), Path("files")  # make_plan clears data/inputs
STORE = Path("data/processed/cfm_vc/cells/held_out")
POINTS = 150  # of a curve in the picture
MAKE_PLAN = "from pipeline.plan import make_plan; make_plan(with_settings=True); make_plan(with_settings=True)"


def prepared(folder: Path, cells: int) -> tuple[Path, int]:
    """A working folder with generated cells as ingest leaves them, made once; and their number of non-zeros."""
    project = folder / f"{cells}"
    (project / RAW).mkdir(parents=True, exist_ok=True)
    in_a_file = min(cells, MOST_IN_A_FILE)
    made = folder / f"{in_a_file}.h5ad"
    if not made.exists():
        # In a process of its own, since a large parent would show in the memory measured later.
        measure([sys.executable, PROJECT / "benchmarks" / "generate_h5ad.py", made, "--cells", f"{in_a_file}"], folder)
    members = []
    for number in range(cells // in_a_file):
        copy = (PARTS / f"{number:03d}" if cells > in_a_file else RAW) / "cells.h5ad"
        (project / copy).parent.mkdir(parents=True, exist_ok=True)
        if not (project / copy).exists():
            os.link(made, project / copy)
        members.append(copy)
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
    write_json(project / RAW / "source.json", source)
    with open_standard_h5ad(made) as reader:
        if len(members) > 1:
            of_files = [Member(copy.as_posix(), copy.parent.name, reader.cells, reader.nonzeros) for copy in members]
            Union(reader.genes, of_files, names_repeat=True, sections_repeat=False).write(project / RAW / UNION)
        return project, reader.nonzeros * len(members)


def set_workers(project: Path, workers: int) -> None:
    """Parameters and settings of the stage."""
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["cfm_vc"]["preprocess"] |= {
        "min_counts_per_cell": 200,
        "min_genes_per_cell": 100,
        "min_cells_per_gene": 10,
        "highly_variable_genes": 2000,
        "workers": workers,
    }
    columns = {name: name for name in ("perturbation", "cell_type", "batch")}
    held_out = [{"cell_type": CELL_TYPES[0], "perturbation": PERTURBATIONS[1]}]
    ingest = {"path": "cells.h5ad", "control": CONTROL, "columns": columns}
    params["cfm_vc"]["studies"] = {"cells": {"ingest": ingest, "held_out": held_out, "seeds": [0]}}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    measure([sys.executable, "-c", MAKE_PLAN], project)


def row(name: str, cells: int, nonzeros: int, measured: Measured) -> str:
    """A line of the table."""
    speed, of_a_core = (nonzeros / seconds / 1e6 for seconds in (measured.seconds, measured.cpu_seconds))
    return (
        f"| {name} | {cells:,} | {nonzeros / 1e6:,.0f} M | {measured.seconds:.1f} s | {measured.cpu_seconds:.1f} s "
        f"| {speed:.1f} M/s | {of_a_core:.1f} M/s | {measured.tree_mib or measured.peak_mib:,.0f} MiB |"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where generated files and stores go")
    parser.add_argument("--cells", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--compare", action="store_true", help="run the obvious script on the same cells")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{load()}\n", flush=True)
    print("| what | cells | non-zeros | wall | CPU | non-zeros/wall | non-zeros/CPU | peak memory |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    curves: dict[str, list[tuple[float, float]]] = {}
    for cells in arguments.cells:
        project, nonzeros = prepared(folder, cells)
        stores = set()
        for workers in arguments.workers:
            set_workers(project, workers)
            command = [sys.executable, "-m", "pipeline.cfm_vc.stages.preprocess", "cells-held_out"]
            stage = measure(command, project, curve=True)
            print(row(f"preprocess, {workers} worker{'s' * (workers > 1)}", cells, nonzeros, stage), flush=True)
            stores.add(sha256(project / STORE))
            curves[f"{cells:,} cells, {workers} worker{'s' * (workers > 1)}"] = stage.curve
        if len(stores) > 1:
            raise SystemExit("the stores differ")
        if arguments.compare:
            compare(project, cells, nonzeros)
    (folder / "curves.json").write_text(json.dumps(curves))
    if len(arguments.cells) > 1:
        draw(curves)


def compare(project: Path, cells: int, nonzeros: int) -> None:
    """The obvious script on the same cells."""
    script = PROJECT / "benchmarks" / "obvious_preprocess.py"
    obvious = measure([sys.executable, script, RAW / "cells.h5ad", "obvious.parquet"], project)
    print(row("obvious script", cells, nonzeros, obvious), flush=True)
    store = sum(file.stat().st_size for file in (project / STORE).rglob("*.parquet"))
    table = (project / "obvious.parquet").stat().st_size
    print(f"\nThe store takes {store / 2**20:,.0f} MiB, the script's table {table / 2**20:,.0f} MiB.\n")


def draw(curves: dict[str, list[tuple[float, float]]]) -> None:
    """Memory against the share of each run's time."""
    import matplotlib as mpl  # here: imported, it would show in the memory of the programs measured
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "preprocess"
    mpl.rcParams["svg.fonttype"] = "none"
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, points in curves.items():
        if points:
            thinned = points[:: max(1, len(points) // POINTS)]
            shares = [seconds / points[-1][0] for seconds, _ in thinned]
            style = "--" if "1 worker" in name else "-"
            axes.plot(shares, [mib for _, mib in thinned], style, label=f"{name} ({points[-1][0]:.0f} s)", linewidth=1)
    axes.set(xlabel="share of the run", ylabel="MiB", title="Memory of preprocess, all processes together")
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    figure.savefig(PICTURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
