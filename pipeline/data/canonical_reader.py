"""Reading the canonical AnnData that ingest writes: any run of cells, with memory for that run only."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.data.coordinates import Coordinates
from pipeline.data.csr import CsrBlock, reading
from pipeline.data.h5ad import Column, open_h5ad, read_column, read_names
from pipeline.errors import ExpectedError


class CanonicalReader:
    """An open canonical file; made by `open_canonical`."""

    def __init__(self, file: Any, path: Path) -> None:
        self._path = path
        self._file = file
        try:
            self._indptr, self._indices, self._counts = (file["X"][name] for name in ("indptr", "indices", "data"))
            self._names = file["obs"]["_index"]
            kinds = [dataset.dtype for dataset in (self._indptr, self._indices, self._counts)]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise self._foreign(str(error)) from error
        if kinds != [np.int64, np.int32, np.int32] or file["X"].attrs.get("encoding-type") != "csr_matrix":
            raise self._foreign("X is not CSR of int32 counts")
        self.cells = len(self._names)
        self.genes = read_names(path, "var")
        self.nonzeros = len(self._counts)
        lengths_fit = len(self._indptr) == self.cells + 1 and len(self._indices) == self.nonzeros
        if not lengths_fit or self._indptr[self.cells] != self.nonzeros:
            raise self._foreign("its counts, genes and cells have lengths that do not fit together")

    def covariate(self, name: str) -> Column:
        """An obs column as codes, (N,), into its sorted labels; every cell has one."""
        column = read_column(self._path, name)
        if len(column.codes) != self.cells or (column.codes < 0).any():
            raise self._foreign(f"obs has cells without a {name}")
        return column

    def doses(self) -> dict[str, dict[str, float]] | None:
        """{perturbation label: {treatment: dose}}, or None where each label is a treatment of its own."""
        if "doses" not in self._file.get("uns", ()):
            return None
        with reading(self._path):
            doses: dict[str, dict[str, float]] = json.loads(self._file["uns"]["doses"][()])
        return doses

    def spatial(self) -> Coordinates | None:
        """Spatial coordinates of all cells, (N, S), in the unit of the input; None where there are none."""
        if "spatial" not in self._file.get("obsm", ()):
            return None
        with reading(self._path):
            places_NS: Coordinates = self._file["obsm"]["spatial"][:]
        if len(places_NS) != self.cells:
            raise self._foreign("it has spatial coordinates of another number of cells")
        return places_NS

    def block(self, start: int, stop: int) -> CsrBlock:
        """Counts of the cells from `start` to before `stop`: no explicit zeros, genes ascending inside each cell."""
        with reading(self._path):
            indptr = self._indptr[start : stop + 1]
            first, last = int(indptr[0]), int(indptr[-1])
            indices, counts = self._indices[first:last], self._counts[first:last]
        # numpy's unchecked kernels follow, so a damaged file has to be found here.
        outside = len(indices) and not 0 <= indices.min() <= indices.max() < len(self.genes)
        if outside or (np.diff(indptr) < 0).any():
            raise self._foreign(f"its gene indices or row pointers are damaged near cell {start}")
        return CsrBlock(start, indptr - first, indices, counts)

    def blocks(self, rows: int) -> Iterator[CsrBlock]:
        """All cells in order, `rows` at a time."""
        for start in range(0, self.cells, rows):
            yield self.block(start, min(start + rows, self.cells))

    def names(self, start: int, stop: int) -> npt.NDArray[np.object_]:
        """Names of the cells from `start` to before `stop`."""
        with reading(self._path):
            return np.array([name.decode() for name in self._names[start:stop]], object)

    def _foreign(self, detail: str) -> ExpectedError:
        kind = self._path.parent.name
        return ExpectedError(
            f"{self._path} is not what ingest writes: {detail}; write it again with: dvc repro --force ingest@{kind}"
        )


@contextmanager
def open_canonical(path: Path) -> Iterator[CanonicalReader]:
    """The canonical AnnData at `path`; ExpectedError where it is missing, damaged or of another form."""
    with open_h5ad(path) as file:
        yield CanonicalReader(file, path)
