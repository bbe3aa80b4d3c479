"""Encode cells in blocks, so that only one block of counts is dense at a time.

B: cells, I: dimensions of z_int.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.cfm_vc.model.latent_pairs import EncodedCells, Names
from pipeline.cfm_vc.model.vae import Vae
from pipeline.data.cells import Cells, regrouped

BLOCK = 1024  # cells encoded at a time


@torch.no_grad()
def intrinsic_latents(vae: Vae, cells: Cells, device: torch.device) -> npt.NDArray[np.float32]:
    """Posterior means of z_int, (B, I); the model in eval mode, on `device`."""
    parts = [_intrinsic(vae, block, device) for block in regrouped([cells], BLOCK)]
    return np.concatenate(parts) if parts else np.zeros((0, vae.config.latent_intrinsic), np.float32)


@torch.no_grad()
def encoded_cells(vae: Vae, parts: Iterable[Cells], device: torch.device, names: Names) -> EncodedCells:
    """Latents and covariates of cells that come in parts, whose counts are not kept; names: see `EncodedCells`."""
    none = np.zeros(0, np.int64)
    latents = [np.zeros((0, vae.config.latent_intrinsic), np.float32)]
    codes = {covariate: [none] for covariate in ("perturbation", "cell_type", "batch")}
    places = []
    for block in regrouped(parts, BLOCK):
        latents.append(_intrinsic(vae, block, device))
        for covariate, found in codes.items():
            found.append(block.covariates[covariate])
        if block.spatial is not None:
            places.append(block.spatial)
    return EncodedCells(
        names,
        np.concatenate(latents),
        **{covariate: np.concatenate(found) for covariate, found in codes.items()},
        place=np.concatenate(places) if places else None,
    )


def _intrinsic(vae: Vae, cells: Cells, device: torch.device) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = vae.encode(*dense_tensors(cells, device)).int_mean_BI.cpu().numpy()
    return found


def dense_tensors(cells: Cells, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Counts (B, G), cell types (B,) and batches (B,)."""
    return (
        torch.from_numpy(cells.dense(slice(None))).to(device),
        torch.from_numpy(np.array(cells.cell_type)).to(device),
        torch.from_numpy(np.array(cells.batch)).to(device),
    )
