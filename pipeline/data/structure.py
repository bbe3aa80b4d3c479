"""Do the names and the matrix of an AnnData fit together? The same checks for every command that reads a file."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.wording import close_to, counted, listed
from pipeline.data.csr import CountMatrix
from pipeline.data.h5ad import AnnDataFile, Names
from pipeline.data.source import Findings, refuse_unshowable


class Structure(NamedTuple):
    """Number of cells, genes, and the counts."""

    cells: int
    genes: list[str]  # none where no counts were asked for
    matrix: CountMatrix | None  # None where it was not asked for or, a problem, cannot be read


def check_structure(file: AnnDataFile, counts: str | None, setting: str, findings: Findings) -> Structure:
    """Check the names, and the matrix at the place `counts` (None: the cells' names alone).

    setting: names that place in advice. Problems: repeated names, no cells, no genes, no matrix at the place,
    or one of the wrong shape or type.
    """
    cells = check_cell_names(lambda: file.name_blocks("obs"), findings)
    if counts is None:
        return Structure(cells, [], None)
    places = file.count_places()
    axis: Names = "raw/var" if counts == "raw/X" and counts in places else "var"
    genes = file.names(axis)
    check_gene_names(genes, axis, findings)
    if not check_place(counts, places, setting, findings):
        return Structure(cells, genes, None)
    matrix = file.counts(counts)
    fits = check_shape(matrix.shape, matrix.dtype, counts, cells, len(genes), findings)
    return Structure(cells, genes, matrix if fits else None)


def check_cell_names(blocks: Callable[[], Iterator[Sequence[str]]], findings: Findings) -> int:
    """The number of cells; two of the same name are a problem. Hashes are kept, 8 bytes a cell, not names."""
    hashes = np.concatenate(
        [np.zeros(0, np.int64), *(np.fromiter(map(hash, block), np.int64, len(block)) for block in blocks())]
    )
    hashes.sort()
    suspects = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
    if suspects:
        repeated = _repeated(name for block in blocks() for name in block if hash(name) in suspects)
        _report_repeated(repeated, "cell names in obs", "adata.obs_names_make_unique()", findings)
    if not len(hashes):
        findings.problem("cells in obs", "none", "cells", "write the file again with its cells")
    return len(hashes)


def check_gene_names(genes: list[str], axis: str, findings: Findings) -> None:
    """Two genes of the same name, or no gene at all, are a problem."""
    fix = "adata.var_names_make_unique()" if axis == "var" else "unique names in adata.raw.var"
    _report_repeated(_repeated(genes), f"gene names in {axis}", fix, findings)
    refuse_unshowable(genes, f"gene names in {axis}", findings)
    if not genes:
        findings.problem(f"genes in {axis}", "none", "genes", "write the file again with its genes")


def check_place(counts: str, places: list[str], setting: str, findings: Findings) -> bool:
    """Whether the counts are in one of the places with a matrix; a problem is added where not."""
    if counts not in places:
        fix = f"set {setting} to the place of the raw counts{close_to(counts, places)}"
        findings.problem(f"counts in {counts}", f"matrices in {listed(places)} only", "a matrix there", fix)
    return counts in places


def check_shape(shape: Sequence[int], dtype: Any, counts: str, cells: int, genes: int, findings: Findings) -> bool:
    """Whether a matrix holds numbers, one row per cell and one column per gene; a problem is added where not."""
    fix = "write the file again with anndata's write_h5ad"
    where = f"counts in {counts}"
    if dtype.kind not in "biuf":
        findings.problem(where, f"values of type {dtype}", "numbers", fix)
    elif tuple(shape) != (cells, genes):
        found = " x ".join(f"{length:,}" for length in shape)
        findings.problem(where, found, f"{cells:,} cells x {genes:,} genes, as named in obs and var", fix)
    else:
        return True
    return False


def _repeated(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    repeated: dict[str, None] = {}
    for name in names:
        if name in seen:
            repeated[name] = None
        seen.add(name)
    return list(repeated)


def _report_repeated(repeated: list[str], where: str, call: str, findings: Findings) -> None:
    if repeated:
        found = f"{counted(len(repeated), 'duplicate name')} ({listed(repeated, 5)})"
        findings.problem(where, found, "every name once", f"join what belongs together, or use {call} and write again")
