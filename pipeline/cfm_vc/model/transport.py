"""Control cells of the store's form, transported along the flow and decoded.

B: cells; G: genes; P: treatments.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.cfm_vc.model.flow import FlowField
from pipeline.cfm_vc.model.generate import Generated, Source, generate
from pipeline.cfm_vc.model.latents import dense_tensors
from pipeline.cfm_vc.model.vae import Vae
from pipeline.data.cells import Cells


class Solution(NamedTuple):
    """How the flow is integrated."""

    source: Source  # as the flow was trained
    steps: int = 20
    method: str = "euler"
    guidance: float = 1.0  # see `Condition.guided`


def transported(
    vae: Vae,
    field: FlowField,
    cells: Cells,
    p_BP: npt.NDArray[np.float32],
    solution: Solution,
    generator: torch.Generator,
    sampled: bool = True,
    offset: Tensor | None = None,
) -> tuple[Tensor, Generated]:
    """Counts of the cells, (B, G), and what they become under their doses: see `generate` and `with_offset`."""
    x_BG, cell_type_B, batch_B = dense_tensors(cells, generator.device)
    generated = generate(
        vae,
        field,
        x_BG,
        cell_type_B,
        batch_B,
        torch.from_numpy(p_BP).to(generator.device),
        source=solution.source,
        steps=solution.steps,
        method=solution.method,
        guidance=solution.guidance,
        sampled=sampled,
        place_BS=None if cells.spatial is None else torch.from_numpy(cells.spatial).to(generator.device),
        generator=generator,
        names=list(cells.names),
    )
    return x_BG, generated if offset is None else with_offset(generated, offset, x_BG.sum(dim=1))


def with_offset(generated: Generated, offset: Tensor, library_B: Tensor) -> Generated:
    """The same cells with an offset, (G,) or (B, G), of the logits of the shares of their library size."""
    log_share_BG = torch.log_softmax(generated.log_mean_BG + offset, dim=1)
    return generated._replace(log_mean_BG=log_share_BG + library_B.clamp(min=1.0).log()[:, None])
