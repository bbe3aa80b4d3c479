"""An AnnData whose matrices come in blocks of cells: joined in memory, or written block by block."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core.files import atomic_file
from pipeline.data.h5ad_writer import CsrWriter, dense_array, extend, h5ad_file, mappings

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import DataFrame

# Matrices of a run of cells by place in the file: "X", "obsm/<name>" or "layers/<name>"; dense float32, or int32 CSR.
Block = Mapping[str, Any]


@dataclass(frozen=True)
class AnnDataBlocks:
    """Consumed once, by `in_memory` or by `write`."""

    obs: "DataFrame"  # (cells, columns)
    genes: list[str]  # of X and of layers; none where there are neither
    blocks: Iterator[Block]  # at least one
    uns: Callable[[], dict[str, Any]]  # called when all blocks have been read

    def in_memory(self) -> "AnnData":
        """All of it."""
        from anndata import AnnData
        from scipy.sparse import issparse, vstack

        parts = list(self.blocks)
        whole = {
            place: vstack([part[place] for part in parts], format="csr")
            if issparse(parts[0][place])
            else np.concatenate([part[place] for part in parts])
            for place in parts[0]
        }
        within: dict[str, dict[str, Any]] = {"obsm": {}, "layers": {}}
        for place, matrix in whole.items():
            if place != "X":
                mapping, _, name = place.partition("/")
                within[mapping][name] = matrix
        return AnnData(whole.get("X"), obs=self.obs, var=self._var(), uns=self.uns(), **within)

    def write(self, path: Path) -> None:
        """Write it as .h5ad; `path` appears, or is replaced, when it is complete."""
        import anndata
        from anndata.io import write_elem
        from scipy.sparse import issparse

        with atomic_file(path) as partial, h5ad_file(partial) as (file, stream):
            mappings(file, "obsm", "layers", "obsp", "varm", "varp")
            matrices: dict[str, Any] = {}
            for block in self.blocks:
                for place, rows in block.items():
                    if place not in matrices:
                        sparse = issparse(rows)
                        matrices[place] = CsrWriter(file, place) if sparse else dense_array(file, place, rows.shape[1])
                    if isinstance(matrices[place], CsrWriter):
                        matrices[place].append(rows.indptr, rows.indices, rows.data)
                    else:
                        extend(matrices[place], rows)
                stream.raise_fault()
            for matrix in matrices.values():
                if isinstance(matrix, CsrWriter):
                    matrix.finish(len(self.genes))
            with anndata.settings.override(allow_write_nullable_strings=True):
                for name, content in (("obs", self.obs), ("var", self._var()), ("uns", self.uns())):
                    write_elem(file, name, content)
            stream.raise_fault()

    def _var(self) -> "DataFrame":
        import pandas as pd

        return pd.DataFrame(index=pd.Index(self.genes, dtype=object))
