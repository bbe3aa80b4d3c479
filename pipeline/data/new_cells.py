"""Cells that a trained model has never seen, as a user brings them: genes matched by name, counts checked, in blocks.

N: cells brought, F: genes brought, G: genes of the model.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.data.cells import Cells, Places, concatenate, pointers
from pipeline.data.count_checks import CountCheck, rows_per_block
from pipeline.data.csr import CsrBlock, reading
from pipeline.data.h5ad import obsm_keys, open_counts, open_h5ad, read_names, read_obsm
from pipeline.data.source import counted, listed
from pipeline.data.unusual import Unusual
from pipeline.errors import ExpectedError
from pipeline.files import sha256

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import DataFrame

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class NewCells:
    """Names and labels in memory, counts to be read in blocks; made by `cells_of_file` or `cells_of_anndata`."""

    where: str  # where the counts are, for messages
    origin: dict[str, str]  # what to say of it in results: its name, and its hash if it is a file
    obs: "DataFrame"  # (N, columns), indexed by the cells' names
    genes: list[str]  # (F,)
    blocks: Callable[[], Iterator[CsrBlock]]  # (N, F), from the first cell on
    obsm_keys: list[str]
    obsm: Callable[[str], npt.NDArray[Any] | None]  # the array under a key; None where it is none of numbers


@dataclass(frozen=True)
class Coded:
    """New cells in the model's terms."""

    kept_N: npt.NDArray[np.bool_]  # which are used
    cell_type_N: Codes
    batch_N: Codes
    place_NS: Places | None


@dataclass(frozen=True)
class GeneMatch:
    """Genes brought, held against those of the model."""

    place_F: npt.NDArray[np.int64]  # place among the model's genes; -1 where it has none of that name
    missing: list[str]  # genes of the model that were not brought: their counts are taken as zero
    extra: list[str]  # genes brought that the model does not know: they are ignored


def cells_of_file(path: Path, counts: str | None = "X") -> NewCells:
    """The cells of an .h5ad, in any encoding since anndata 0.7; counts: X, raw/X or layers/<name>, None for no genes.

    Memory: obs, and while blocks are read one of them (a CSC matrix is loaded whole). ExpectedError where file or
    place is no good.
    """
    from anndata.io import read_elem  # here: pandas comes with it

    with open_h5ad(path) as file, reading(path):
        obs = read_elem(file["obs"])
    keys, obsm = obsm_keys(path), partial(read_obsm, path)
    if counts is None:
        _check_shape((len(obs), 0), "i", len(obs), 0, str(path))
        return NewCells(str(path), file_origin(path), obs, [], lambda: iter(()), keys, obsm)
    genes = read_names(path, "raw/var" if counts == "raw/X" else "var")
    where = f"{counts} of {path}"
    with open_counts(path, counts) as matrix:
        _check_shape(matrix.shape, matrix.kind, len(obs), len(genes), where)

    def blocks() -> Iterator[CsrBlock]:
        with open_counts(path, counts) as matrix:
            yield from matrix.blocks(_rows(genes))

    return NewCells(where, file_origin(path), obs, genes, blocks, keys, obsm)


def cells_of_anndata(adata: "AnnData", counts: str | None = "X") -> NewCells:
    """The cells of an AnnData in memory; counts: X, raw/X or layers/<name>, None for no genes."""
    from scipy.sparse import csr_matrix, issparse

    def obsm(key: str) -> npt.NDArray[Any] | None:
        found = adata.obsm[key]
        return found if isinstance(found, np.ndarray) and found.dtype.kind in "fiu" else None

    origin = {"input": "an AnnData in memory"}
    if counts is None:
        _check_shape((adata.n_obs, 0), "i", adata.n_obs, 0, "the AnnData")
        return NewCells("the AnnData", origin, adata.obs, [], lambda: iter(()), list(adata.obsm), obsm)
    places = {"X": adata.X, **{f"layers/{name}": adata.layers[name] for name in adata.layers}}
    if adata.raw is not None:
        places["raw/X"] = adata.raw.X
    matrix = places.get(counts)
    if matrix is None:
        known = listed(name for name, found in places.items() if found is not None)
        raise ExpectedError(f"the AnnData has no {counts}; it has {known}")
    genes = [str(name) for name in (adata.raw.var_names if counts == "raw/X" else adata.var_names)]
    where = f"{counts} of the AnnData"
    _check_shape(matrix.shape, matrix.dtype.kind, adata.n_obs, len(genes), where)
    by_cell = matrix.tocsr() if issparse(matrix) else matrix

    def blocks() -> Iterator[CsrBlock]:
        rows = _rows(genes)
        for start in range(0, adata.n_obs, rows):
            part = csr_matrix(by_cell[start : start + rows])
            yield CsrBlock(start, part.indptr.astype(np.int64), part.indices.astype(np.int32), part.data)

    return NewCells(where, origin, adata.obs, genes, blocks, list(adata.obsm), obsm)


def _rows(genes: list[str]) -> int:
    """Cells to read at once: as few as are predicted at once, since each passes through several arrays."""
    return min(1024, rows_per_block(len(genes)))


def file_origin(path: Path) -> dict[str, str]:
    """What to say of a file in the results made from it."""
    return {"input": str(path), "input_sha256": sha256(path)}


def _check_shape(shape: Sequence[int], kind: str, cells: int, genes: int, where: str) -> None:
    if kind not in "biuf":
        raise ExpectedError(f"{where} holds no numbers: expected raw counts")
    if tuple(shape) != (cells, genes):
        found = f"{shape[0]:,} x {shape[1]:,}"
        raise ExpectedError(f"{where} is {found}, but obs and var name {cells:,} cells x {genes:,} genes")
    if not cells:
        raise ExpectedError(f"{where} holds no cells")


def match_genes(found: Sequence[str], wanted: Sequence[str], where: str) -> GeneMatch:
    """Match genes by name. ExpectedError: a name twice, or fewer than half of the wanted genes are there."""
    place_of = {gene: place for place, gene in enumerate(wanted)}
    place_F = np.array([place_of.get(gene, -1) for gene in found], np.int64)
    seen: set[str] = set()
    repeated = list(dict.fromkeys(gene for gene in found if gene in seen or seen.add(gene)))  # type: ignore[func-returns-value]
    if repeated:
        raise ExpectedError(
            f"{where}: {counted(len(repeated), 'gene name')} more than once ({listed(repeated, 5)}): add up what "
            "belongs together, or make the names unique"
        )
    missing = [gene for gene in wanted if gene not in seen]
    if 2 * len(missing) > len(wanted):
        raise ExpectedError(
            f"{where} holds {len(wanted) - len(missing):,} of the model's {len(wanted):,} genes, at least half are "
            f"needed: genes are matched by name, here {listed(found, 3)}, in the model {listed(wanted, 3)}"
        )
    return GeneMatch(place_F, missing, [gene for gene in found if gene not in place_of])


def matched_blocks(
    new: NewCells,
    match: GeneMatch,
    genes: int,
    coded: Coded,
    unusual: Unusual,
    cells_per_block: int,
) -> Iterator[Cells]:
    """The kept cells in order over the model's genes, in blocks of `cells_per_block`; only the last may be smaller.

    How the cells are grouped depends on nothing else, so neither do random numbers drawn per block. ExpectedError where
    a value is not a count.
    """
    names = new.obs.index.to_numpy(object)

    def parts() -> Iterator[Cells]:
        check = CountCheck(len(new.genes))
        for block in new.blocks():
            canonical = check.add(block)
            if canonical is None:
                raise ExpectedError(
                    f"{new.where}: {check.found()}; expected raw counts, whole numbers from 0 on: if the file holds "
                    "them elsewhere, such as in raw/X or a layer, name that place as the place of the counts"
                )
            rows = block.start + np.flatnonzero(coded.kept_N[block.start : block.start + len(block)])
            yield _over_model_genes(canonical, match, genes, rows, names, coded)

    for cells in _regrouped(parts(), cells_per_block):
        unusual.empty_cells += int((cells.library_size == 0).sum())
        yield cells


def _over_model_genes(
    block: CsrBlock,
    match: GeneMatch,
    genes: int,
    rows: Codes,
    names: npt.NDArray[np.object_],
    coded: Coded,
) -> Cells:
    cell = np.repeat(np.arange(len(block)), np.diff(block.indptr))
    place = match.place_F[block.indices]
    known = place >= 0
    cell, place, counts = cell[known], place[known], block.counts[known]
    order = np.argsort(cell * genes + place, kind="stable")
    every = slice(block.start, block.start + len(block))
    cells = Cells(
        genes=genes,
        names=names[every],
        indptr=pointers(np.bincount(cell, minlength=len(block))),
        indices=place[order].astype(np.int32),
        counts=counts[order],
        covariates={
            "perturbation": np.zeros(len(block), np.int64),
            "cell_type": coded.cell_type_N[every],
            "batch": coded.batch_N[every],
        },
        library_size=np.bincount(cell, counts, len(block)).astype(np.int64),
        spatial=None if coded.place_NS is None else coded.place_NS[every],
    )
    return cells.select(rows - block.start)


def _regrouped(parts: Iterable[Cells], size: int) -> Iterator[Cells]:
    rest: list[Cells] = []
    for part in parts:
        cells = concatenate([*rest, part])
        whole = len(cells) // size * size
        for start in range(0, whole, size):
            yield cells.select(slice(start, start + size))
        rest = [cells.select(slice(whole, None))]
    yield from (cells for cells in rest if len(cells))
