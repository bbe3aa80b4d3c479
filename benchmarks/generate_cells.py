"""Carries the test cells of a store along the flow and decodes them, block by block; prints `seconds <of all cells>`.

A program of its own, so that benchmarks/cost.py can measure its memory: python -m benchmarks.generate_cells
"""

import time
from pathlib import Path

import torch

from benchmarks.generated_store import STUDY
from pipeline.cfm_vc.model.flow import FlowField
from pipeline.cfm_vc.model.generate import generate
from pipeline.cfm_vc.model.latents import BLOCK, dense_tensors
from pipeline.cfm_vc.model.vae import Vae
from pipeline.data.cells import Cells, regrouped
from pipeline.data.store import Store, open_store
from pipeline.training.weights import load_model

CPU = torch.device("cpu")
STEPS = 20  # of the Euler solver


def seconds_of_generation(folder: Path, store: Store, cells: Cells) -> float:
    """Encode, 20 Euler steps and decode to every gene, under the store's last perturbation."""
    vae, _ = load_model(folder / STUDY.model / "vae", Vae)
    field, _ = load_model(folder / STUDY.model / "flow", FlowField)
    p_P = torch.from_numpy(store.doses.matrix(store.categories["perturbation"]))[-1]
    began = time.perf_counter()
    for block in regrouped([cells], BLOCK):
        x_BG, cell_type_B, batch_B = dense_tensors(block, CPU)
        p_BP, generator = p_P.expand(len(block), -1), torch.Generator()
        generate(vae, field, x_BG, cell_type_B, batch_B, p_BP, source="control", steps=STEPS, generator=generator)
    return time.perf_counter() - began


def main() -> None:
    torch.set_num_threads(2)
    store = open_store(STUDY.store)
    seconds = 0.0
    for row_group in store.row_groups("train"):
        seconds += seconds_of_generation(Path(), store, store.read_row_group(row_group))
    print(f"seconds {seconds:.3f}", flush=True)


if __name__ == "__main__":
    main()
