"""Cutting cells into pieces: what one worker does at a time, and what the results do not show.

A piece lies within one file. How files are cut depends on their sizes alone, so that any number of workers does the
same pieces, and their results are put together in the order of the pieces.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.data.shuffle import random_runs

CELLS_PER_PIECE = 2**18  # of which two keep four workers busy at the end of a pass; a piece fills some shards


@dataclass(frozen=True)
class Piece:
    """Piece `number` of the `pieces` of file `file`, whose rows are `first` to before `end`."""

    file: int
    first: int
    end: int
    number: int
    pieces: int

    @property
    def rows(self) -> slice:
        """Its rows when every cell is looked at: consecutive, and read at full speed."""
        cells = self.end - self.first
        start, stop = (self.first + cells * number // self.pieces for number in (self.number, self.number + 1))
        return slice(start, stop)

    def dealt(self, seed: int) -> tuple[list[tuple[int, int]], np.random.Generator]:
        """Its runs of rows when cells are written, dealt to the pieces of a file at random, and its random stream.

        So every piece holds cells from all over its file, however that is sorted.
        """
        rng = np.random.default_rng([seed, 1, self.file])  # apart from the choice of validation cells
        runs = list(random_runs(self.end - self.first, rng))[self.number :: self.pieces]
        if self.number:
            rng = np.random.default_rng([seed, 1, self.file, self.number])
        return [(self.first + start, self.first + stop) for start, stop in runs], rng


def cut(files: Sequence[tuple[int, int]], most: int | None = None) -> list[Piece]:
    """The pieces of files with these rows, (first, end) each: about equal, of at most so many cells
    (CELLS_PER_PIECE)."""
    most = most or CELLS_PER_PIECE
    return [
        Piece(file, first, end, number, pieces)
        for file, (first, end) in enumerate(files)
        for pieces in [-(-(end - first) // most)]
        for number in range(pieces)
    ]
