"""A study of generated cells as `preprocess` would leave it, for the benchmarks of training: 2,000 genes, a tenth of
the counts not zero. The cells are those of benchmarks/generate_h5ad.py, drawn and written block by block.
"""

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.generate_h5ad import BATCHES, CELL_TYPES, CONTROL, PERTURBATIONS, drawn_blocks
from pipeline.core.files import atomic_folder
from pipeline.core.paths import StudyPaths
from pipeline.data.cells import Cells, pointers
from pipeline.data.store import Split
from pipeline.data.store_writer import StoreWriter

STUDY = StudyPaths("cfm_vc", "generated", "all", 0)  # where the stages find it in a folder
ROOT = Path(__file__).resolve().parents[1]
GENES = 2000
DEPTH = 260  # median counts of a cell: with GENES genes, a tenth of the entries are not zero
SPARSE_DEPTH = 85  # ... 71 of 2,000, as of droplets with shallow sequencing
ROW_GROUP = 4096  # cells
CELLS_PER_SHARD = 65_536


def write_store(folder: Path, cells: dict[Split, int], seed: int = 0, typed: bool = True, depth: float = DEPTH) -> int:
    """Write `cells` to each split and return the number of non-zero counts. Same arguments, same bytes.

    depth: median counts of a cell. Without `typed` all cells are labelled as of one type: for a comparison with a model
    that does not use cell types.
    """
    random = np.random.default_rng(seed)
    categories = {"perturbation": PERTURBATIONS, "cell_type": CELL_TYPES if typed else ["cell"], "batch": BATCHES}
    nonzeros = 0
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_folder(folder) as partial,
        StoreWriter(partial, [f"GENE{gene:05d}" for gene in range(GENES)], categories, CELLS_PER_SHARD) as writer,
    ):
        splits = [(split, number) for split, number in cells.items() if number]
        for part, (split, number) in enumerate(splits):
            done = 0
            for lengths, indices, counts, groups in drawn_blocks(number, GENES, depth, seed, part):
                block = Cells(
                    genes=GENES,
                    names=np.array([f"{split}{done + row}" for row in range(len(lengths))], object),
                    indptr=pointers(lengths),
                    indices=indices,
                    counts=counts,
                    covariates={
                        "perturbation": groups % len(PERTURBATIONS),
                        "cell_type": groups // len(PERTURBATIONS) * typed,
                        "batch": random.integers(0, len(BATCHES), len(lengths)),
                    },
                    library_size=np.bincount(np.repeat(np.arange(len(lengths)), lengths), counts).astype(np.int64),
                )
                for start in range(0, len(block), ROW_GROUP):
                    rows = block.select(slice(start, start + ROW_GROUP))
                    writer.append(split, rows, rows.library_size)
                done += len(lengths)
                nonzeros += len(counts)
        description = {
            "kind": "perturbation",
            "simulated": True,
            "description": "Generated for a benchmark",
            "input_sha256": "0" * 64,
            "control": CONTROL,
            "held_out": [],
            "notes": [],
        }
        writer.finish({}, description)
    return nonzeros


def write_params(folder: Path, **changes: dict[str, Any]) -> None:
    """The project's own params.yaml with these values in sections of cfm_vc: `vae={"epochs": 2}`."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in changes.items():
        params["cfm_vc"][section] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
