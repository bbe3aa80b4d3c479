"""The cells that ingest has written of a study."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.data.standard_h5ad_reader import StandardH5adReader, open_standard_h5ad


@contextmanager
def open_raw_cells(raw: Path) -> Iterator[StandardH5adReader]:
    """All cells in a folder of data/raw; ExpectedError where they are missing, damaged or not written by ingest."""
    with open_standard_h5ad(raw / "cells.h5ad") as reader:
        yield reader
