"""New cells for a trained model, as supplied by a user: genes matched by name, counts checked, read in blocks.

N: cells supplied, F: genes supplied, G: genes of the model.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256
from pipeline.core.wording import listed
from pipeline.data.cells import Cells, Places, regrouped
from pipeline.data.columns import Column, block_of_series, labelled
from pipeline.data.count_checks import CountCheck, rows_per_block
from pipeline.data.csr import CsrBlock
from pipeline.data.gene_places import GenePlaces
from pipeline.data.h5ad import open_anndata
from pipeline.data.quality import counts_per_cell
from pipeline.data.source import Findings
from pipeline.data.structure import check_cell_names, check_gene_names, check_place, check_shape, check_structure
from pipeline.data.unseen_categories import UnseenCategories

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import DataFrame

Codes = npt.NDArray[np.int64]
PLACE = "the place of the counts (--counts)"


@dataclass(frozen=True)
class NewCells:
    """Names and labels in memory, counts to be read in blocks; made by `cells_of_file` or `cells_of_anndata`."""

    where: str  # where the counts are, for messages
    origin: dict[str, str]  # recorded in results: its name, and its hash if it is a file
    obs: "DataFrame"  # (N, columns), indexed by the cells' names
    column: Callable[[str, frozenset[str]], Column]  # of obs, or its index by name; with the texts that mean no label
    genes: list[str]  # (F,)
    blocks: Callable[[], Iterator[CsrBlock]]  # (N, F), from the first cell on
    obsm_keys: list[str]
    obsm: Callable[[str], npt.NDArray[Any] | None]  # the numbers under a key; None where there are none


@dataclass(frozen=True)
class Coded:
    """New cells in the model's terms."""

    kept_N: npt.NDArray[np.bool_]  # which are used
    cell_type_N: Codes
    batch_N: Codes
    place_NS: Places | None


@dataclass(frozen=True)
class GeneMatch:
    """Supplied genes matched to those of the model."""

    places: GenePlaces  # of the supplied genes among the model's
    missing: list[str]  # genes of the model that were not supplied: their counts are taken as zero
    extra: list[str]  # supplied genes that the model does not know: ignored


@contextmanager
def cells_of_file(path: Path, counts: str | None = "X") -> Iterator[NewCells]:
    """The cells of an AnnData on disk, open until the context ends; counts: X, raw/X, layers/<name>, None for no genes.

    Memory: obs, and while blocks are read one of them (a CSC matrix is loaded whole). ExpectedError with all problems
    of the file.
    """
    with open_anndata(path) as file:
        findings = Findings()
        genes = check_structure(file, counts, PLACE, findings).genes
        findings.raise_problems(path)

        def blocks() -> Iterator[CsrBlock]:
            return iter(()) if counts is None else file.counts(counts).blocks(_rows(genes))

        def column(name: str, missing: frozenset[str]) -> Column:
            return file.column(name, None, missing)

        where = str(path) if counts is None else f"{counts} of {path}"
        yield NewCells(where, file_origin(path), file.obs(), column, genes, blocks, file.obsm_keys(), file.obsm)


def cells_of_anndata(adata: "AnnData", counts: str | None = "X") -> NewCells:
    """The cells of an AnnData in memory; counts: X, raw/X or layers/<name>, None for no genes."""
    from scipy.sparse import csr_matrix, issparse

    check_anndata(adata, counts)
    matrix: Any = None if counts is None else _matrices(adata)[counts]
    genes = [] if counts is None else _genes(adata, counts)

    def blocks() -> Iterator[CsrBlock]:
        by_cell = matrix.tocsr() if issparse(matrix) else matrix
        rows = _rows(genes)
        for start in range(0, adata.n_obs if matrix is not None else 0, rows):
            part = csr_matrix(by_cell[start : start + rows])
            yield CsrBlock(start, part.indptr.astype(np.int64), part.indices.astype(np.int32), part.data)

    def column(name: str, missing: frozenset[str]) -> Column:
        values = adata.obs[name] if name in adata.obs else adata.obs.index.to_series()
        return labelled([block_of_series(values)], None, missing)

    where = "the AnnData" if counts is None else f"{counts} of the AnnData"
    origin = {"input": "an AnnData in memory"}
    return NewCells(where, origin, adata.obs, column, genes, blocks, list(adata.obsm), partial(obsm_of_anndata, adata))


def check_anndata(adata: "AnnData", counts: str | None) -> None:
    """The checks of `check_structure` for an AnnData in memory; ExpectedError with all problems."""
    findings = Findings()
    cells = check_cell_names(lambda: iter([adata.obs_names.astype(str).tolist()]), findings)
    if counts is not None:
        genes = _genes(adata, counts)
        check_gene_names(genes, "raw/var" if counts == "raw/X" else "var", findings)
        matrices = _matrices(adata)
        if check_place(counts, list(matrices), PLACE, findings):
            check_shape(matrices[counts].shape, matrices[counts].dtype, counts, cells, len(genes), findings)
    findings.raise_problems("the AnnData")


def obsm_of_anndata(adata: "AnnData", key: str) -> npt.NDArray[Any] | None:
    """An array or a table of numbers in obsm, (N, dimensions); None where it is something else."""
    found = adata.obsm[key]
    array = found.to_numpy() if hasattr(found, "to_numpy") else found
    return array if isinstance(array, np.ndarray) and array.dtype.kind in "fiu" else None


def _matrices(adata: "AnnData") -> dict[str, Any]:
    places = {"X": adata.X, "raw/X": None if adata.raw is None else adata.raw.X}
    places |= {f"layers/{name}": adata.layers[name] for name in adata.layers}
    return {place: matrix for place, matrix in places.items() if matrix is not None}


def _genes(adata: "AnnData", counts: str) -> list[str]:
    in_raw = counts == "raw/X" and adata.raw is not None
    return [str(name) for name in (adata.raw.var_names if in_raw else adata.var_names)]


def _rows(genes: list[str]) -> int:
    """Cells to read at once: as many as are predicted at once, since each block passes through several arrays."""
    return min(1024, rows_per_block(len(genes)))


def file_origin(path: Path) -> dict[str, str]:
    """Path and hash of a file, recorded in the results made from it."""
    return {"input": str(path), "input_sha256": sha256(path)}


def match_genes(found: Sequence[str], wanted: Sequence[str], where: str) -> GeneMatch:
    """Match genes, each named once, by name. ExpectedError: fewer than half of the wanted genes are there."""
    brought, known = set(found), set(wanted)
    missing = [gene for gene in wanted if gene not in brought]
    if 2 * len(missing) > len(wanted):
        raise ExpectedError(
            f"{where} holds {len(wanted) - len(missing):,} of the model's {len(wanted):,} genes, at least half are "
            f"needed: genes are matched by name, here {listed(found, 3)}, in the model {listed(wanted, 3)}"
        )
    return GeneMatch(GenePlaces.of(found, wanted), missing, [gene for gene in found if gene not in known])


def matched_blocks(
    new: NewCells,
    match: GeneMatch,
    genes: int,
    coded: Coded,
    unseen: UnseenCategories,
    cells_per_block: int,
) -> Iterator[Cells]:
    """The kept cells in order over the model's genes, in blocks of `cells_per_block`; only the last may be smaller.

    Blocks are formed the same way however the cells are read, so random numbers drawn per block are reproducible.
    ExpectedError where a value is not a count.
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

    for cells in regrouped(parts(), cells_per_block):
        unseen.empty_cells += int((cells.library_size == 0).sum())
        yield cells


def _over_model_genes(
    block: CsrBlock,
    match: GeneMatch,
    genes: int,
    rows: Codes,
    names: npt.NDArray[np.object_],
    coded: Coded,
) -> Cells:
    known = match.places.apply(block)
    every = slice(block.start, block.start + len(block))
    cells = Cells(
        genes=genes,
        names=names[every],
        indptr=known.indptr,
        indices=known.indices,
        counts=known.counts,
        covariates={
            "perturbation": np.zeros(len(block), np.int64),
            "cell_type": coded.cell_type_N[every],
            "batch": coded.batch_N[every],
        },
        library_size=counts_per_cell(known),
        spatial=None if coded.place_NS is None else coded.place_NS[every],
    )
    return cells.select(rows - block.start)
