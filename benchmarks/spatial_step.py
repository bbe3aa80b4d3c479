"""A training step of AlphaSTomics by itself, forward and backward: what `benchmarks.spatial` times.

    python -m benchmarks.spatial_step --attention linear --cells 4096

Prints median seconds, and MiB at the peak over what the process held before the first step.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipeline.alphastomics.model.diffusion import centred_normal
from pipeline.alphastomics.model.network import SpatialConfig, SpatialDiffusion
from pipeline.alphastomics.model.objective import Noising, SpatialObjective

GENES = 512
SIZES = {"genes": GENES, "space": 2, "cell_types": 8, "sections": 4}
NETWORK = {"dimensions": 128, "layers": 4, "heads": 8, "hidden": 256}


class Batch(NamedTuple):
    """Clean neighbourhoods of random cells: B of N."""

    x_BNG: Tensor
    position_BNS: Tensor
    mask_BN: Tensor
    cell_type_BN: Tensor
    section_B: Tensor
    near_place_BNKS: Tensor | None = None
    near_x_BNKG: Tensor | None = None


class Step:
    """The objective of joint training on one batch, without masks and without the optimizer's own work."""

    def __init__(self, neighbourhoods: int, cells: int, **changes: Any) -> None:
        """changes: of the network."""
        self.generator = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        self.model = SpatialDiffusion(SpatialConfig(**{**SIZES, **NETWORK, **changes}))
        self.objective = SpatialObjective(
            self.model,
            Noising.of(1000, 1.0, 1.0, "x0"),
            modes={"joint": 1.0, "expr_to_pos": 0.0, "pos_to_expr": 0.0},
            noise_share=0.0,
            condition_dropout=0.0,
            position_weight=1.0,
            neighbour_weight=1.0,
            masking="none",
            masked_genes=0.0,
            masked_dimensions=0.0,
            masked_weight=0.0,
            balance_weight=0.01,
        )
        mask_BN = torch.ones(neighbourhoods, cells, dtype=torch.bool)
        self.batch = Batch(
            torch.randn(neighbourhoods, cells, GENES),
            centred_normal(mask_BN, 2, self.generator),
            mask_BN,
            torch.randint(0, 8, (neighbourhoods, cells)),
            torch.zeros(neighbourhoods, dtype=torch.int64),
        )

    def __call__(self) -> float:
        """Seconds of one."""
        self.objective.zero_grad(set_to_none=True)
        began = time.perf_counter()
        self.objective(self.batch, self.generator)["loss"].backward()
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attention", choices=("softmax", "linear"), required=True)
    parser.add_argument("--cells", type=int, required=True)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    Step(1, 64, attention=arguments.attention)()  # what is loaded once is not the step's
    step = Step(1, arguments.cells, attention=arguments.attention)
    before = held("VmRSS")
    seconds = statistics.median([step() for _ in range(arguments.turns + 1)][1:])
    print(seconds, held("VmHWM") - before)


def held(which: str) -> float:
    """MiB that Linux says the process holds (VmRSS), or held at most (VmHWM)."""
    return int(Path("/proc/self/status").read_text().partition(f"{which}:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
