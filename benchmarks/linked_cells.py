"""The preprocess stage on several standard files read as one, for benchmarks of more cells than the disk would hold.

    python -m benchmarks.linked_cells cells-held_out     # in a folder that benchmarks.preprocess has made

The files data/raw/<system>/<study>/cells-<number>.h5ad may be hard links to one: the stage reads them all the same.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.data.csr import CsrBlock
from pipeline.data.h5ad import Column
from pipeline.data.standard_h5ad_reader import StandardH5adReader, open_standard_h5ad


class LinkedCells:
    """Cells file after file, all of the same genes and labels; the part of StandardH5adReader that preprocess needs."""

    def __init__(self, readers: list[StandardH5adReader]) -> None:
        self._readers = readers
        ends = np.cumsum([reader.cells for reader in readers]).tolist()
        self.files = tuple(zip([0, *ends[:-1]], ends, strict=True))
        self.cells: int = ends[-1]
        self.nonzeros = sum(reader.nonzeros for reader in readers)
        self.genes = readers[0].genes

    def covariate(self, name: str) -> Column:
        columns = [reader.covariate(name) for reader in self._readers]
        return Column(np.concatenate([column.codes for column in columns]), columns[0].labels, [])

    def doses(self) -> None:
        return None

    def spatial(self) -> None:
        return None

    def block(self, start: int, stop: int) -> CsrBlock:
        reader, first = self._of(start)
        block = reader.block(start - first, stop - first)
        return CsrBlock(start, block.indptr, block.indices, block.counts)

    def names(self, start: int, stop: int) -> npt.NDArray[np.object_]:
        reader, first = self._of(start)
        return reader.names(start - first, stop - first)

    def _of(self, row: int) -> tuple[StandardH5adReader, int]:
        number = next(number for number, (_, end) in enumerate(self.files) if row < end)
        return self._readers[number], self.files[number][0]


@contextmanager
def open_linked_cells(raw: Path) -> Iterator[LinkedCells]:
    """All files of a folder, in the order of their numbers."""
    with ExitStack() as stack:
        paths = sorted(raw.glob("cells-*.h5ad"))
        yield LinkedCells([stack.enter_context(open_standard_h5ad(path)) for path in paths])


def main() -> None:
    from benchmarks.linked_cells import open_linked_cells as opened  # by the name that workers know it by
    from pipeline.cfm_vc.stages import preprocess
    from pipeline.core.entry import run_study_stage
    from pipeline.data import streaming_preprocess

    streaming_preprocess.open_raw_cells = opened  # type: ignore[assignment]
    run_study_stage(preprocess.SECTION, preprocess.run)


if __name__ == "__main__":
    main()
