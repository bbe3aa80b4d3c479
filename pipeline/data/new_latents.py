"""Latents that `latent` or `predict` wrote, or anyone else, to be decoded in blocks.

N: cells, B: cells of a block, I: dimensions of z_int, T: of z_tech.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt

from pipeline.data.csr import reading
from pipeline.data.h5ad import open_h5ad
from pipeline.data.new_cells import file_origin
from pipeline.data.source import listed
from pipeline.errors import ExpectedError

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import DataFrame

INTRINSIC, TECHNICAL = "X_z_int", "X_z_tech"  # keys of obsm
Pair = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]  # z_int (B, I), z_tech (B, T)


@dataclass(frozen=True)
class NewLatents:
    """Both latents of N cells, read in blocks; made by `latents_of_file` or `latents_of_anndata`."""

    origin: dict[str, str]
    obs: "DataFrame"
    blocks: Callable[[int], Iterator[Pair]]  # so many cells at a time


def latents_of_file(path: Path, dimensions: tuple[int, int]) -> NewLatents:
    """Latents in obsm of an .h5ad. dimensions: I and T of the model; ExpectedError where the file's differ."""
    from anndata.io import read_elem

    with open_h5ad(path) as file, reading(path):
        obs = read_elem(file["obs"])
        arrays = {name: node for name, node in file.get("obsm", {}).items() if isinstance(node, h5py.Dataset)}
        _check(arrays, len(obs), dimensions, str(path))

    def blocks(cells: int) -> Iterator[Pair]:
        with open_h5ad(path) as file, reading(path):
            yield from _slices(file["obsm"], cells, str(path))

    return NewLatents(file_origin(path), obs, blocks)


def latents_of_anndata(adata: "AnnData", dimensions: tuple[int, int]) -> NewLatents:
    """Latents in obsm of an AnnData in memory."""
    _check(adata.obsm, adata.n_obs, dimensions, "the AnnData")
    return NewLatents(
        {"input": "an AnnData in memory"}, adata.obs, lambda cells: _slices(adata.obsm, cells, "the AnnData")
    )


def _check(arrays: Mapping[str, Any], cells: int, dimensions: tuple[int, int], where: str) -> None:
    if not cells:
        raise ExpectedError(f"{where} holds no cells")
    for key, expected in zip((INTRINSIC, TECHNICAL), dimensions, strict=True):
        if key not in arrays:
            raise ExpectedError(f"{where} has no obsm[{key!r}]; obsm holds {listed(arrays)}")
        shape = tuple(arrays[key].shape)
        if shape != (cells, expected) or arrays[key].dtype.kind not in "fiu":
            raise ExpectedError(
                f"{where}: obsm[{key!r}] is {' x '.join(map(str, shape))} of {arrays[key].dtype}, but the model needs "
                f"{cells} cells x {expected} dimensions: embed the cells with this model (python -m pipeline latent)"
            )


def _slices(arrays: Mapping[str, Any], cells: int, where: str) -> Iterator[Pair]:
    for start in range(0, len(arrays[INTRINSIC]), cells):
        block = slice(start, start + cells)
        int_BI, tech_BT = (np.asarray(arrays[key][block], np.float32) for key in (INTRINSIC, TECHNICAL))
        if not (np.isfinite(int_BI).all() and np.isfinite(tech_BT).all()):
            raise ExpectedError(f"{where}: a latent among cells {start + 1} to {start + len(int_BI)} is not finite")
        yield int_BI, tech_BT
