"""Reading AnnData on disk (.h5ad, or the same in a zarr store), with memory of a few bytes per cell at most.

The one reader of all stages and commands. Only what the pipeline needs is read: counts from X, raw/X or a layer, obs,
obsm and names, in every encoding that anndata has written since 0.7.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.data.columns import MISSING_TEXTS, Column, labelled
from pipeline.data.container import Node
from pipeline.data.csr import CountMatrix
from pipeline.data.file_kind import file_kind
from pipeline.data.hdf5_container import open_hdf5
from pipeline.data.other_containers import check_is_anndata, not_anndata
from pipeline.data.table import ROWS_PER_BLOCK, Table

if TYPE_CHECKING:
    from pandas import DataFrame

Names = Literal["obs", "var", "raw/var"]


class Form(NamedTuple):
    """Shape and type of an array of numbers."""

    shape: tuple[int, ...]
    dtype: Any


class AnnDataFile:
    """An open file; made by `open_anndata`. What cannot be read is an ExpectedError."""

    def __init__(self, root: Node) -> None:
        check_is_anndata(root)
        self.root, self.path = root, root.path
        self._obs = Table(root["obs"])

    def count_places(self) -> list[str]:
        """Every place in the file that holds a matrix of cells x genes: X, raw/X, layers/<name>."""
        layers = self.root.get("layers")
        places = ["X", "raw/X", *(f"layers/{name}" for name in (layers.held() if layers is not None else ()))]
        found = ((place, self.root.get(place)) for place in places)
        return [place for place, node in found if node is not None and node.attr("encoding-type") != "null"]

    def counts(self, where: str = "X") -> CountMatrix:
        """The count matrix at `where`, one of `count_places`."""
        places = self.count_places()
        if where not in places:
            raise ExpectedError(f"{self.path} has no {where}; it has {', '.join(places) or 'no matrix'}")
        return CountMatrix(self.root[where])

    @property
    def cells(self) -> int:
        """Rows of obs."""
        return self._obs.rows

    def obs_columns(self) -> list[str]:
        """Names of the obs columns, in the order of the table."""
        return self._obs.columns()

    @property
    def obs_index(self) -> str:
        """Name of the index of obs."""
        return self._obs.index

    def column(self, name: str, pattern: str | None = None, missing: frozenset[str] = MISSING_TEXTS) -> Column:
        """An obs column, or the index by its own name, as labels; pattern, missing: see `labelled`."""
        if name not in [*self._obs.columns(), self._obs.index]:
            known = ", ".join(self._obs.columns()) or "none"
            raise ExpectedError(f"{self.path} has no obs column {name!r}; it has {known}")
        return labelled(self._obs.blocks(name), pattern, missing)

    def numbers(self, column: str) -> npt.NDArray[np.float64] | None:
        """An obs column of numbers, (cells,), NaN where one is missing; None where it holds something else."""
        return self._obs.numbers(column)

    def obs(self) -> "DataFrame":
        """The whole obs table."""
        return self._obs.frame()

    def obsm_keys(self) -> list[str]:
        """Names of what obsm holds."""
        obsm = self.root.get("obsm")
        return [] if obsm is None else obsm.held()

    def obsm_form(self, key: str) -> "Form | None":
        """Shape and type of what `obsm` reads under a key."""
        node = self.root["obsm"][key]
        first = self.obsm(key, 0, 1)
        if first is None:
            return None
        return Form((Table(node).rows, first.shape[1]) if node.is_group else node.shape, first.dtype)

    def obsm(self, key: str, start: int = 0, stop: int | None = None) -> npt.NDArray[Any] | None:
        """Cells of an array or a table of numbers in obsm, (cells, dimensions), all by default; None where `key` holds
        something else."""
        node = self.root["obsm"][key]
        if not node.is_group:
            return node.read(start, stop) if node.shape and node.dtype.kind in "fiu" else None
        if node.attr("encoding-type") != "dataframe":
            return None
        table = Table(node)
        columns = [table.numbers(name) for name in table.columns()]
        numbers = [column[start:stop] for column in columns if column is not None]
        return np.stack(numbers, axis=1) if numbers and len(numbers) == len(columns) else None

    def name_blocks(self, axis: Names, rows: int = ROWS_PER_BLOCK) -> Iterator[list[str]]:
        """Cell names (obs) or gene names (var, raw/var), `rows` at a time."""
        table = Table(self.root[axis])
        for values, places in table.blocks(table.index, rows):
            yield [values[place] if place >= 0 else "" for place in places.tolist()]

    def names(self, axis: Names) -> list[str]:
        """All cell names (obs) or gene names (var, raw/var)."""
        return [name for block in self.name_blocks(axis) for name in block]


@contextmanager
def open_anndata(path: Path) -> Iterator[AnnDataFile]:
    """The open file; ExpectedError where the path holds no AnnData, saying what it holds instead."""
    kind = file_kind(path)
    if kind == "hdf5":
        with open_hdf5(path) as root:
            yield AnnDataFile(root)
    elif kind == "zarr":
        from pipeline.data.zarr_container import open_zarr  # here: zarr takes a while to import

        with open_zarr(path) as root:
            yield AnnDataFile(root)
    else:
        raise not_anndata(path, kind)
