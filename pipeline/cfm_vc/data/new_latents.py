"""Latents from a file or an AnnData, read in blocks for decoding.

N: cells, B: cells of a block, I: dimensions of z_int, T: of z_tech.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import listed
from pipeline.data.h5ad import Form, open_anndata
from pipeline.data.new_cells import check_anndata, file_origin, obsm_of_anndata
from pipeline.data.source import Findings
from pipeline.data.structure import check_structure

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import DataFrame

INTRINSIC, TECHNICAL = "X_z_int", "X_z_tech"  # keys of obsm
CONTROL = "X_z_int_control"  # beside them where `predict` has carried the cells
Pair = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]  # z_int (B, I), z_tech (B, T)


@dataclass(frozen=True)
class NewLatents:
    """Both latents of N cells, read in blocks; made by `latents_of_file` or `latents_of_anndata`."""

    origin: dict[str, str]
    obs: "DataFrame"
    blocks: Callable[[int], Iterator[Pair]]  # argument: cells per block
    notes: list[str]


@contextmanager
def latents_of_file(path: Path, dimensions: tuple[int, int]) -> Iterator[NewLatents]:
    """Context manager: latents in obsm of an .h5ad file.

    dimensions: I and T of the model; ExpectedError if those of the file differ.
    """
    with open_anndata(path) as file:
        findings = Findings()
        cells = check_structure(file, None, "", findings).cells
        findings.raise_problems(path)
        _check({key: file.obsm_form(key) for key in file.obsm_keys()}, cells, dimensions, str(path))

        def blocks(size: int) -> Iterator[Pair]:
            return _slices(file.obsm, cells, size, str(path))

        yield NewLatents(file_origin(path), file.obs(), blocks, _notes(file.obsm_keys()))


def latents_of_anndata(adata: "AnnData", dimensions: tuple[int, int]) -> NewLatents:
    """Latents in obsm of an AnnData in memory."""
    check_anndata(adata, None)
    arrays = {key: obsm_of_anndata(adata, key) for key in adata.obsm}
    forms = {key: None if array is None else Form(array.shape, array.dtype) for key, array in arrays.items()}
    _check(forms, adata.n_obs, dimensions, "the AnnData")

    def rows(key: str, start: int, stop: int) -> npt.NDArray[Any] | None:
        array = arrays[key]
        return None if array is None else array[start:stop]

    def blocks(size: int) -> Iterator[Pair]:
        return _slices(rows, adata.n_obs, size, "the AnnData")

    return NewLatents({"input": "an AnnData in memory"}, adata.obs, blocks, _notes(adata.obsm))


def _notes(keys: Iterable[str]) -> list[str]:
    lacking = "predicted latents are decoded without the size of the effect: predict's own counts have it"
    return [lacking] if CONTROL in keys else []


def _check(forms: Mapping[str, Form | None], cells: int, dimensions: tuple[int, int], where: str) -> None:
    for key, expected in zip((INTRINSIC, TECHNICAL), dimensions, strict=True):
        if key not in forms:
            raise ExpectedError(f"{where} has no obsm[{key!r}]; obsm holds {listed(forms)}")
        form = forms[key]
        if form is None or form.shape != (cells, expected):
            found = "no array of numbers" if form is None else f"{' x '.join(map(str, form.shape))} of {form.dtype}"
            raise ExpectedError(
                f"{where}: obsm[{key!r}] is {found}, but the model needs {cells} cells x {expected} dimensions: embed "
                "the cells with this model (python -m pipeline latent)"
            )


def _slices(
    rows: Callable[[str, int, int], npt.NDArray[Any] | None], every: int, cells: int, where: str
) -> Iterator[Pair]:
    for start in range(0, every, cells):
        stop = min(start + cells, every)
        int_BI, tech_BT = (np.asarray(rows(key, start, stop), np.float32) for key in (INTRINSIC, TECHNICAL))
        if not (np.isfinite(int_BI).all() and np.isfinite(tech_BT).all()):
            raise ExpectedError(f"{where}: a latent among cells {start + 1} to {stop} is not finite")
        yield int_BI, tech_BT
