"""Latent arithmetic: the perturbation's mean change in the VAE's latent space, added to the control cells' latents.

A baseline of the flow, which it shares the VAE and the decoding with: what is better than it, the flow has learned.
Source: Lotfollahi et al. (2019, Nat. Methods 16), scGen.

B: cells; I: dimensions of z_int.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.cfm_vc.data.groups import Group
from pipeline.cfm_vc.model.additive import additive_change
from pipeline.cfm_vc.model.generate import Generated
from pipeline.cfm_vc.model.latents import BLOCK, dense_tensors, intrinsic_latents
from pipeline.cfm_vc.model.predict import sampled
from pipeline.cfm_vc.model.question import Method, Question
from pipeline.cfm_vc.model.vae import Vae
from pipeline.data.cells import Cells, regrouped
from pipeline.nn.distributions import sample_gaussian

Array = npt.NDArray[np.float64]


def latent_arithmetic(vae: Vae, means: Mapping[Group, Array], seed: int, device: torch.device) -> Method:
    """The method that adds `additive_change` of the mean latents of groups, `means`, to the latents of control cells.

    As with CFM-VC, a cell's own z_int is a posterior sample, it keeps its z_tech and library size, and its counts are
    adjusted by the change of the decoded mean. (scGen balances the cells of the groups and decodes to expression.)
    """

    @torch.no_grad()
    def carry(question: Question, cells: Cells, generator: torch.Generator) -> tuple[Tensor, Generated]:
        x_BG, cell_type_B, batch_B = dense_tensors(cells, device)
        posterior = vae.encode(x_BG, cell_type_B, batch_B)
        own_BI = sample_gaussian(posterior.int_mean_BI, posterior.int_log_variance_BI, generator)
        int_BI = own_BI + torch.from_numpy(additive_change(question, means)).to(own_BI)
        tech_BT = posterior.tech_mean_BT
        return x_BG, Generated(own_BI, int_BI, tech_BT, vae.decode(int_BI, tech_BT, x_BG.sum(dim=1)))

    return sampled(vae, carry, "control", seed, device)


def group_latents(vae: Vae, parts: Iterable[Cells], device: torch.device) -> dict[Group, Array]:
    """Mean z_int (posterior means), (I,), of every group of cells that come in parts, of which none is kept."""
    cells: dict[Group, int] = {}
    totals: dict[Group, Array] = {}
    for block in regrouped(parts, BLOCK):
        latent_BI = intrinsic_latents(vae, block, device)
        pairs = np.stack([block.cell_type, block.perturbation], axis=1)
        for cell_type, perturbation in np.unique(pairs, axis=0).tolist():
            mine_B = (block.cell_type == cell_type) & (block.perturbation == perturbation)
            group = (cell_type, perturbation)
            cells[group] = cells.get(group, 0) + int(mine_B.sum())
            totals[group] = totals.get(group, 0) + latent_BI[mine_B].sum(axis=0, dtype=np.float64)
    return {group: totals[group] / cells[group] for group in sorted(cells)}
