"""Reading the standard AnnData that ingest writes: any run of cells, with memory for that run only."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.data.columns import Column
from pipeline.data.coordinates import Coordinates
from pipeline.data.csr import CsrBlock
from pipeline.data.h5ad import AnnDataFile, open_anndata
from pipeline.data.table import Table

NAMES_PER_BLOCK = 65_536


class StandardH5adReader:
    """An open standard file; made by `open_standard_h5ad`."""

    def __init__(self, file: AnnDataFile) -> None:
        self._path = file.path
        self._file = file
        if not all(place in file.root for place in ("X/indptr", "X/indices", "X/data", "obs/_index")):
            raise self._foreign("it lacks X in rows, or names of cells")
        self._names = file.root["obs/_index"]
        self._indptr, self._indices, self._counts = (file.root[f"X/{part}"] for part in ("indptr", "indices", "data"))
        kinds = [part.dtype for part in (self._indptr, self._indices, self._counts)]
        if kinds != [np.int64, np.int32, np.int32] or file.root["X"].attr("encoding-type") != "csr_matrix":
            raise self._foreign("X is not CSR of int32 counts")
        self.cells = self._names.rows
        self._width = Table(file.root["var"]).rows
        self.nonzeros = self._counts.rows
        self.files: tuple[tuple[int, int], ...] = ((0, self.cells),)  # first row and end of each
        lengths_fit = self._indptr.rows == self.cells + 1 and self._indices.rows == self.nonzeros
        if not lengths_fit or self._indptr.read(self.cells)[0] != self.nonzeros:
            raise self._foreign("its counts, genes and cells have lengths that do not fit together")

    @cached_property
    def genes(self) -> list[str]:
        """Names of the genes."""
        return self._file.names("var")

    def covariate(self, name: str) -> Column:
        """An obs column as codes, (N,), into its sorted labels; every cell has one."""
        column = self._file.column(name, missing=frozenset())  # ingest has decided which texts are labels
        if len(column.codes) != self.cells or (column.codes < 0).any():
            raise self._foreign(f"obs has cells without a {name}")
        return column

    def doses(self) -> dict[str, dict[str, float]] | None:
        """{perturbation label: {treatment: dose}}, or None where each label is a treatment of its own."""
        stored = self._file.root.get("uns/doses")
        if stored is None:
            return None
        doses: dict[str, dict[str, float]] = json.loads(stored.text())
        return doses

    def spatial(self) -> Coordinates | None:
        """Spatial coordinates of all cells, (N, S), in the unit of the input; None where there are none."""
        if "spatial" not in self._file.obsm_keys():
            return None
        places_NS = self._file.obsm("spatial")
        if places_NS is None or len(places_NS) != self.cells:
            raise self._foreign("it has spatial coordinates of another number of cells")
        return places_NS

    def block(self, start: int, stop: int) -> CsrBlock:
        """Counts of the cells from `start` to before `stop`: no explicit zeros, genes ascending inside each cell."""
        indptr = self._indptr.read(start, stop + 1)
        first, last = int(indptr[0]), int(indptr[-1])
        indices, counts = self._indices.read(first, last), self._counts.read(first, last)
        # numpy's unchecked kernels come next, so damage has to be detected here.
        outside = len(indices) and not 0 <= indices.min() <= indices.max() < self._width
        if outside or (np.diff(indptr) < 0).any():
            raise self._foreign(f"its gene indices or row pointers are damaged near cell {start}")
        return CsrBlock(start, indptr - first, indices, counts)

    def blocks(self, rows: int) -> Iterator[CsrBlock]:
        """All cells in order, `rows` at a time."""
        for start in range(0, self.cells, rows):
            yield self.block(start, min(start + rows, self.cells))

    def name_blocks(self) -> Iterator[list[str]]:
        """Names of all cells in order, `NAMES_PER_BLOCK` at a time."""
        for start in range(0, self.cells, NAMES_PER_BLOCK):
            yield self._names.texts(start, start + NAMES_PER_BLOCK)

    def names(self, start: int, stop: int) -> npt.NDArray[np.object_]:
        """Names of the cells from `start` to before `stop`."""
        return np.array(self._names.texts(start, stop), object)

    def _foreign(self, detail: str) -> ExpectedError:
        made, *of = self._path.parts[1:-1] if len(self._path.parts) > 4 else ("raw", self._path.parent.name)
        stage = {"inputs": "ingest_file"}.get(made, "ingest") + "@" + "-".join(of)
        return ExpectedError(
            f"{self._path} is not what ingest writes: {detail}; write it again with: dvc repro --force {stage}"
        )


@contextmanager
def open_standard_h5ad(path: Path) -> Iterator[StandardH5adReader]:
    """The standard AnnData at `path`; ExpectedError where it is missing, damaged or not written by ingest."""
    with open_anndata(path) as file:
        yield StandardH5adReader(file)
