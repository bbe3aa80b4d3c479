"""What preprocess does with one piece of the cells: a function for each pass, called by any process.

A task holds what the function has to know, its result what the passes put together. Axes: N cells of a piece, G genes
of the input, S spatial dimensions.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.data.cells import Cells, Places
from pipeline.data.csr import CsrBlock
from pipeline.data.gene_places import GenePlaces
from pipeline.data.highly_variable import ClippedSums, GeneSums
from pipeline.data.prefetch import prefetched
from pipeline.data.quality import CellFilter, counts_per_cell, entries_of
from pipeline.data.raw_cells import RawCells
from pipeline.data.shuffle import ShuffleBuffer
from pipeline.data.store import SPLITS
from pipeline.data.store_writer import Layout, Shards, ShardWriter

ENTRIES_PER_BLOCK = 2**19  # 4 MiB of gene indices and counts
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scan:
    """A piece to be looked at: consecutive rows, and which of these cells, (N,), take part in the gene selection."""

    rows: slice
    learned_N: Mask


@dataclass(frozen=True)
class PieceQuality:
    """Of a piece: which cells pass the filter, and the statistics of the genes."""

    cells: CellFilter
    kept_N: Mask
    sums: GeneSums  # over the kept cells that take part in the gene selection
    detected_G: npt.NDArray[np.int64]  # kept cells that do not, in which each gene is seen


def quality(reader: RawCells, task: tuple[Scan, CellFilter]) -> PieceQuality:
    """The first pass; the filter has seen no cell yet."""
    scan, cells = task
    sums, others = GeneSums(len(reader.genes)), np.zeros(len(reader.genes), np.int64)
    kept_N = np.zeros(len(scan.learned_N), bool)
    for rows, block in _blocks(reader, scan.rows):
        kept_N[rows] = cells.keep(block)
        learned_N = scan.learned_N[rows]
        sums.add_block(block, kept_N[rows] & learned_N)
        held_out, _ = entries_of(block, kept_N[rows] & ~learned_N)
        others += np.bincount(held_out, minlength=len(others))
    return PieceQuality(cells, kept_N, sums, others)


def gene_sums(reader: RawCells, scan: Scan) -> GeneSums:
    """Gene moments over the cells of the gene selection."""
    sums = GeneSums(len(reader.genes))
    for rows, block in _blocks(reader, scan.rows):
        sums.add_block(block, scan.learned_N[rows])
    return sums


def clipped_sums(reader: RawCells, task: tuple[Scan, ClippedSums]) -> ClippedSums:
    """Clipped gene moments over the same cells; the sums are empty yet."""
    scan, clipped = task
    for rows, block in _blocks(reader, scan.rows):
        clipped.add(block, scan.learned_N[rows])
    return clipped


@dataclass(frozen=True)
class Write:
    """A piece to be written into a folder of its own. The arrays are of the cells of the runs, in their order."""

    folder: Path
    layout: Layout
    cells_per_row_group: int
    runs: list[tuple[int, int]]
    rng: np.random.Generator
    genes: npt.NDArray[np.int64]  # of the store, ascending indices into those of the input
    split_N: npt.NDArray[np.int8]  # index into SPLITS; others are not stored
    covariates: Mapping[str, npt.NDArray[np.integer]]  # codes, each (N,)
    spatial_NS: Places | None


def write(reader: RawCells, task: Write) -> Shards:
    """The last pass."""
    place_G = np.full(len(reader.genes), -1, np.int32)
    place_G[task.genes] = np.arange(len(task.genes))
    places = GenePlaces(place_G)
    with ShardWriter(task.folder, task.layout) as writer:
        buffers = [
            ShuffleBuffer(
                task.cells_per_row_group,
                float((task.split_N == number).mean()),
                task.rng,
                lambda *args, split=split: writer.append(split, *args),
            )
            for number, split in enumerate(SPLITS)
        ]
        done = 0
        # Both in one thread, which nothing else reads beside.
        for block, names in prefetched((reader.block(*run), reader.names(*run)) for run in task.runs):
            rows = slice(done, done + len(block))
            done = rows.stop
            chosen = places.apply(block)
            cells = Cells(
                genes=len(task.genes),
                names=names,
                indptr=chosen.indptr,
                indices=chosen.indices,
                counts=chosen.counts,
                covariates={name: codes_N[rows].astype(np.int64) for name, codes_N in task.covariates.items()},
                library_size=counts_per_cell(chosen),
                spatial=None if task.spatial_NS is None else task.spatial_NS[rows],
            )
            total_counts = counts_per_cell(block)
            for split, buffer in enumerate(buffers):
                of_split = np.flatnonzero(task.split_N[rows] == split)
                buffer.add(cells.select(of_split), total_counts[of_split])
        for buffer in buffers:
            buffer.flush()
        return writer.finish()


def _blocks(reader: RawCells, rows: slice) -> Iterator[tuple[slice, CsrBlock]]:
    """The cells of a piece, block by block, each with its place in the piece."""
    per_cell = max(1, reader.nonzeros // max(1, reader.cells))
    number = min(max(ENTRIES_PER_BLOCK // per_cell, 256), 16_384)
    starts = range(rows.start, rows.stop, number)
    blocks = prefetched(reader.block(start, min(start + number, rows.stop)) for start in starts)
    for start, block in zip(starts, blocks, strict=True):
        yield slice(start - rows.start, start - rows.start + len(block)), block
