"""Shuffling cells on their way into the store, with bounded memory.

Files are sorted more often than not: by sample, by condition, by cell type. Trained on in that order, or shuffled in a
small window only, a model forgets what it saw first. So cells are read in short runs in random order, many runs are
mixed in a buffer, and row groups are filled from the mixed buffer: a row group then holds cells from all over the file.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from pipeline.data.cells import Cells, concatenate

CELLS_PER_RUN = 512  # read together; long enough to be read at full speed
CELLS_PER_BUFFER = 32_768  # so a row group holds cells of at least 64 runs
ENTRIES_PER_BUFFER = 2**24  # 128 MiB of gene indices and counts, which deep data reaches first

TotalCounts = npt.NDArray[np.int64]
Emit = Callable[[Cells, TotalCounts], None]


def random_runs(cells: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Start and stop of runs of cells, in random order, that cover all cells once."""
    starts = np.arange(0, cells, CELLS_PER_RUN)
    for start in rng.permutation(starts).tolist():
        yield start, min(start + CELLS_PER_RUN, cells)


class ShuffleBuffer:
    """Collects cells, shuffles them when it is full, and emits whole row groups; `flush` emits the rest.

    share: of the cells of a run that come here, about; the smaller it is, the fewer cells stem from as many runs.
    """

    def __init__(self, cells_per_row_group: int, share: float, rng: np.random.Generator, emit: Emit) -> None:
        self._cells_per_row_group = cells_per_row_group
        self._cells_when_full = max(cells_per_row_group, round(share * CELLS_PER_BUFFER))
        self._rng = rng
        self._emit = emit
        self._parts: list[tuple[Cells, TotalCounts]] = []
        self._cells = 0
        self._entries = 0

    def add(self, cells: Cells, total_counts: TotalCounts) -> None:
        """Add cells, N of them, and their counts over all genes of the input, (N,)."""
        if not len(cells):
            return
        self._parts.append((cells, total_counts))
        self._cells += len(cells)
        self._entries += len(cells.counts)
        full = self._cells >= self._cells_when_full or self._entries >= ENTRIES_PER_BUFFER
        if full and self._cells >= self._cells_per_row_group:
            self._hand_on(self._cells // self._cells_per_row_group * self._cells_per_row_group)

    def flush(self) -> None:
        """Emit what is left; the last row group may be short."""
        if self._cells:
            self._hand_on(self._cells)

    def _hand_on(self, number: int) -> None:
        cells = concatenate([part for part, _ in self._parts])
        total_counts = np.concatenate([counts for _, counts in self._parts])
        self._parts = []
        order = self._rng.permutation(len(cells))
        for start in range(0, number, self._cells_per_row_group):
            rows = order[start : min(start + self._cells_per_row_group, number)]
            self._emit(cells.select(rows), total_counts[rows])
        rest = order[number:]
        self._cells = self._entries = 0
        if len(rest):
            self.add(cells.select(rest), total_counts[rest])
