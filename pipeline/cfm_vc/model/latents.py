"""Encode cells in blocks, so that only one block of counts is dense at a time.

B: cells, I: dimensions of z_int.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.cfm_vc.model.vae import Vae
from pipeline.data.cells import Cells

BLOCK = 1024  # cells encoded at a time


@torch.no_grad()
def intrinsic_latents(vae: Vae, cells: Cells, device: torch.device) -> npt.NDArray[np.float32]:
    """Posterior means of z_int, (B, I); the model in eval mode, on `device`."""
    parts = [vae.encode(*dense_tensors(block, device)).int_mean_BI.cpu().numpy() for block in blocks(cells)]
    return np.concatenate(parts) if parts else np.zeros((0, vae.config.latent_intrinsic), np.float32)


def blocks(cells: Cells) -> Iterator[Cells]:
    """The cells in order, `BLOCK` at a time."""
    for start in range(0, len(cells), BLOCK):
        yield cells.select(slice(start, start + BLOCK))


def dense_tensors(cells: Cells, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Counts (B, G), cell types (B,) and batches (B,)."""
    return (
        torch.from_numpy(cells.dense(slice(None))).to(device),
        torch.from_numpy(np.array(cells.cell_type)).to(device),
        torch.from_numpy(np.array(cells.batch)).to(device),
    )
