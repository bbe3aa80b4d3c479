"""Carries the training cells of a store along the flow and decodes them; prints `seconds <of all cells>`.

    python -m benchmarks.generate_cells [THREADS]

A program of its own, so that others can measure its memory. Where there is no flow, an untrained one is used.
"""

import sys
import time
from pathlib import Path

import torch

from benchmarks.generated_store import STUDY
from pipeline.cfm_vc.model.flow import FlowConfig, FlowField
from pipeline.cfm_vc.model.generate import generate
from pipeline.cfm_vc.model.latents import BLOCK, dense_tensors
from pipeline.cfm_vc.model.vae import Vae
from pipeline.cfm_vc.params.flow import Flow as FlowSettings
from pipeline.data.cells import Cells, regrouped
from pipeline.data.store import Store, open_store
from pipeline.training.weights import load_model

CPU = torch.device("cpu")
STEPS = 20  # of the Euler solver


def models(folder: Path, store: Store) -> tuple[Vae, FlowField]:
    """Those trained in this folder; the flow may be missing."""
    vae, _ = load_model(folder / STUDY.model / "vae", Vae)
    if (folder / STUDY.model / "flow").exists():
        return vae, load_model(folder / STUDY.model / "flow", FlowField)[0]
    treatments, codes = len(store.doses.treatments), store.categories
    sizes = {"dimensions": vae.config.latent_intrinsic, "treatments": treatments}
    sizes |= {"cell_types": len(codes["cell_type"]), "batches": len(codes["batch"])}
    return vae, FlowField(FlowConfig.of(FlowSettings(), **sizes)).eval()


def seconds_of_generation(vae: Vae, field: FlowField, store: Store, cells: Cells) -> float:
    """Encode, 20 Euler steps and decode to every gene, under the store's last perturbation."""
    p_P = torch.from_numpy(store.doses.matrix(store.categories["perturbation"]))[-1]
    began = time.perf_counter()
    for block in regrouped([cells], BLOCK):
        x_BG, cell_type_B, batch_B = dense_tensors(block, CPU)
        p_BP, generator = p_P.expand(len(block), -1), torch.Generator()
        generate(vae, field, x_BG, cell_type_B, batch_B, p_BP, source="control", steps=STEPS, generator=generator)
    return time.perf_counter() - began


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    store = open_store(STUDY.store)
    vae, field = models(Path(), store)
    seconds = 0.0
    for row_group in store.row_groups("train"):
        seconds += seconds_of_generation(vae, field, store, store.read_row_group(row_group))
    print(f"seconds {seconds:.3f}", flush=True)


if __name__ == "__main__":
    main()
