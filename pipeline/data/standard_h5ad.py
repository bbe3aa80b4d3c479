"""Writing the standard AnnData that ingest hands to preprocess, block by block, independent of the source's layout.

X is CSR of int32 counts, uncompressed (a cache that is read at memory speed; DVC and the parquet store compress), genes
ascending inside a cell and no explicit zeros; obs holds the cells' names and categorical covariates, var the genes'
names. Where there are spatial coordinates, obsm/spatial holds them, and where labels mean doses or combinations,
uns/doses maps them, as JSON (a label may hold any character, a key of HDF5 may not). anndata.read_h5ad reads it
like any other file.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from pipeline.data.columns import Column
from pipeline.data.coordinates import Coordinates
from pipeline.data.h5ad_writer import CsrWriter, DiskStream, extend, h5ad_file, mappings, string_array, table


class StandardH5adWriter:
    """A standard file under construction; made by `standard_h5ad_file`."""

    def __init__(self, file: Any, stream: DiskStream, genes: list[str]) -> None:
        self._file = file
        self._stream = stream
        self._genes = len(genes)
        self._counts = CsrWriter(file, "X")
        table(file, "var", ())
        extend(string_array(file["var"], "_index"), genes)
        mappings(file, "layers", "obsm", "obsp", "uns", "varm", "varp")

    def append(
        self, indptr: npt.NDArray[np.int64], indices: npt.NDArray[np.int32], counts: npt.NDArray[np.int32]
    ) -> None:
        """Add n cells: indptr (n + 1,) from 0, indices and counts (nonzeros,), genes ascending inside each cell."""
        self._counts.append(indptr, indices, counts)
        self._stream.raise_fault()

    def finish(
        self,
        names: Iterable[list[str]],
        columns: Mapping[str, Column],
        doses: Mapping[str, Mapping[str, float]] | None = None,
        spatial: Coordinates | None = None,
    ) -> None:
        """Add the cells' names, in blocks, and their covariates, each without a missing value.

        doses: {perturbation label: {treatment: dose}}; spatial: coordinates (N, S).
        """
        self._counts.finish(self._genes)
        obs = table(self._file, "obs", tuple(columns))
        index = string_array(obs, "_index")
        for block in names:
            extend(index, block)
            self._stream.raise_fault()
        for name, column in columns.items():
            group = obs.create_group(name)
            group.attrs.update({"encoding-type": "categorical", "encoding-version": "0.2.0", "ordered": False})
            codes = column.codes.astype(np.int8 if len(column.labels) < 128 else np.int32)
            group.create_dataset("codes", data=codes).attrs.update(
                {"encoding-type": "array", "encoding-version": "0.2.0"}
            )
            extend(string_array(group, "categories"), column.labels)
        if doses is not None:
            text = self._file["uns"].create_dataset("doses", data=json.dumps(doses), dtype=h5py.string_dtype())
            text.attrs.update({"encoding-type": "string", "encoding-version": "0.2.0"})
        if spatial is not None:
            self._file["obsm"].create_dataset("spatial", data=spatial).attrs.update(
                {"encoding-type": "array", "encoding-version": "0.2.0"}
            )
        self._stream.raise_fault()


@contextmanager
def standard_h5ad_file(path: Path, genes: list[str]) -> Iterator[StandardH5adWriter]:
    """Write a standard AnnData at `path` with these gene names; OSError where a write fails."""
    with h5ad_file(path) as (file, stream):
        yield StandardH5adWriter(file, stream, genes)
