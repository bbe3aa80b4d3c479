"""What ingest hands on of a study, to be read alike whether it has one file or several."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipeline.data.columns import Column
from pipeline.data.coordinates import Coordinates
from pipeline.data.csr import CsrBlock
from pipeline.data.standard_h5ad_reader import open_standard_h5ad
from pipeline.data.union_reader import Union, UnionReader

UNION = "union.json"


class RawCells(Protocol):
    """Counts, N cells over the genes, and what is said of the cells; see `StandardH5adReader`."""

    cells: int
    nonzeros: int  # stored entries, for planning: of several files also those of genes that not every file has
    files: tuple[tuple[int, int], ...]  # first row and end of each file

    @property
    def genes(self) -> list[str]: ...

    def covariate(self, name: str) -> Column: ...

    def doses(self) -> dict[str, dict[str, float]] | None: ...

    def spatial(self) -> Coordinates | None: ...

    def block(self, start: int, stop: int) -> CsrBlock: ...

    def names(self, start: int, stop: int) -> npt.NDArray[np.object_]: ...


@contextmanager
def open_raw_cells(raw: Path) -> Iterator[RawCells]:
    """The cells of data/raw/<system>/<study>; ExpectedError where they are missing, damaged or not ingest's."""
    if (raw / UNION).is_file():
        with UnionReader(Union.read(raw / UNION), raw.parents[3]) as reader:
            yield reader
    else:
        with open_standard_h5ad(raw / "cells.h5ad") as one:
            yield one
