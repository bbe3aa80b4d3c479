"""From ingest's standard file to a store, in streaming passes with a few blocks in memory, for all kinds of cells.

Quality and gene moments, clipped gene moments, writing. Held-out cells play no part in the gene selection. Axes: N
cells, G genes, S spatial dimensions.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from pipeline.core.errors import ExpectedError
from pipeline.core.files import read_json
from pipeline.data.cells import Cells, Places
from pipeline.data.csr import CsrBlock
from pipeline.data.h5ad import Column
from pipeline.data.highly_variable import ClippedSums, GeneStatistics, GeneSums, expected_deviation, most_variable
from pipeline.data.prefetch import prefetched
from pipeline.data.quality import CellFilter, counts_per_cell, entries_of
from pipeline.data.raw_cells import RawCells
from pipeline.data.shuffle import ShuffleBuffer, random_runs
from pipeline.data.store import SPLITS
from pipeline.data.store_writer import StoreWriter
from pipeline.params.stored_cells import StoredCells

ENTRIES_PER_BLOCK = 2**19  # 4 MiB of gene indices and counts
Mask = npt.NDArray[np.bool_]
T = TypeVar("T")


@dataclass(frozen=True)
class Quality:
    """Which cells pass the filter, and the statistics of the genes."""

    cells: CellFilter
    kept_N: Mask
    sums: GeneSums  # over the kept cells that take part in the gene selection
    detected_G: npt.NDArray[np.int64]  # kept cells, held out or not, in which each gene is seen


@dataclass(frozen=True)
class Selection:
    """The genes of the store."""

    genes: npt.NDArray[np.int64]  # ascending indices into the genes of the input
    statistics: GeneStatistics  # of these genes
    genes_after_filter: int
    notes: list[str]


@dataclass(frozen=True)
class Passes:
    """The passes over one standard file, by one section of params.yaml; `number`: how many there will be."""

    reader: RawCells
    settings: StoredCells
    section: str  # its dotted name, for messages
    number: int = 3

    def quality(self, learned_N: Mask) -> Quality:
        """The first pass; learned_N: the cells, (N,), of the gene selection. ExpectedError: no cell is left."""
        reader, settings = self.reader, self.settings
        cells = CellFilter(settings.min_counts_per_cell, settings.min_genes_per_cell)
        kept_N = np.zeros(reader.cells, bool)
        sums = GeneSums(len(reader.genes))
        detected_G = np.zeros(len(reader.genes), np.int64)
        for block in self._blocks("quality and gene moments", 1):
            rows = slice(block.start, block.start + len(block))
            kept_N[rows] = cells.keep(block)
            learned = kept_N[rows] & learned_N[rows]
            sums.add(int(learned.sum()), *entries_of(block, learned))
            held_out, _ = entries_of(block, kept_N[rows] & ~learned_N[rows])
            detected_G += np.bincount(held_out, minlength=len(detected_G))
        if not kept_N.any():
            raise ExpectedError(
                f"all {reader.cells:,} cells were dropped: none has at least {settings.min_counts_per_cell} counts and "
                f"{settings.min_genes_per_cell} detected genes; lower {self.section}.min_counts_per_cell or "
                "min_genes_per_cell in params.yaml"
            )
        return Quality(cells, kept_N, sums, detected_G + sums.detected_G)

    def learned_from(self, quality: Quality, learned_N: Mask, order: int) -> Quality:
        """The same with gene moments over these cells, (N,), only; `order`: the number of this pass."""
        sums = GeneSums(len(self.reader.genes))
        for block in self._blocks("gene moments", order):
            learned = learned_N[block.start : block.start + len(block)]
            sums.add(int(learned.sum()), *entries_of(block, learned))
        return Quality(quality.cells, quality.kept_N, sums, quality.detected_G)

    def select_genes(self, quality: Quality, learned_N: Mask) -> Selection:
        """The last pass but one; learned_N: the cells, (N,), of `quality.sums`. ExpectedError: no gene is left."""
        settings = self.settings
        passing = np.flatnonzero(quality.detected_G >= settings.min_cells_per_gene)
        if not len(passing):
            raise ExpectedError(
                f"all {len(self.reader.genes):,} genes were dropped: none is detected in at least "
                f"{settings.min_cells_per_gene} kept cells; lower {self.section}.min_cells_per_gene in params.yaml"
            )
        notes = []
        asked = settings.highly_variable_genes
        if len(passing) < asked:
            notes.append(f"{len(passing)} genes are left after filtering, {asked} were asked for: all of them are kept")
        mean_G, variance_G = quality.sums.mean_G, quality.sums.variance_G
        deviation_G, standardised_G = np.ones_like(mean_G), np.full_like(mean_G, np.nan)
        try:
            deviation_G[passing] = expected_deviation(mean_G[passing], variance_G[passing], self.section)
        except ExpectedError as error:
            if len(passing) > asked:
                raise
            notes.append(f"the genes are not ranked, since all are kept: {error}")
        else:
            clipped = ClippedSums(quality.sums, deviation_G)
            for block in self._blocks("gene ranking", self.number - 1):
                clipped.add(block, learned_N[block.start : block.start + len(block)])
            standardised_G = clipped.standardised_variance_G
        genes = passing[most_variable(standardised_G[passing], asked)]
        statistics = GeneStatistics(mean_G, variance_G, standardised_G).select(genes)
        return Selection(genes, statistics, len(passing), notes)

    def write_store(
        self,
        folder: Path,
        selection: Selection,
        covariates: Mapping[str, Column],
        spatial_NS: Places | None,
        split_N: npt.NDArray[np.int8],
        description: dict[str, Any],
    ) -> dict[str, Any]:
        """The last pass; returns what dataset.json holds. split_N: an index into SPLITS, others are not stored."""
        reader, settings = self.reader, self.settings
        place_G = np.full(len(reader.genes), -1, np.int32)
        place_G[selection.genes] = np.arange(len(selection.genes))
        rng = np.random.default_rng([settings.seed, 1])  # apart from the choice of validation cells
        runs = list(random_runs(reader.cells, rng))
        categories = {name: column.labels for name, column in covariates.items()}
        genes = [reader.genes[gene] for gene in selection.genes]
        dimensions = 0 if spatial_NS is None else spatial_NS.shape[1]
        with StoreWriter(folder, genes, categories, settings.cells_per_shard, dimensions) as writer:
            buffers = [
                ShuffleBuffer(
                    settings.cells_per_row_group,
                    float((split_N == number).mean()),
                    rng,
                    lambda *args, split=split: writer.append(split, *args),
                )
                for number, split in enumerate(SPLITS)
            ]
            parts = (_read_run(reader, run, place_G, len(genes), covariates, spatial_NS) for run in runs)
            title = f"writing ({self.number} of {self.number})"
            for (start, stop), (cells, total_counts) in zip(
                runs, _shown(prefetched(parts), title, len(runs)), strict=True
            ):
                for split, buffer in enumerate(buffers):
                    rows = np.flatnonzero(split_N[start:stop] == split)
                    buffer.add(cells.select(rows), total_counts[rows])
            for buffer in buffers:
                buffer.flush()
            statistics = selection.statistics
            columns = {
                "mean": statistics.mean_G,
                "variance": statistics.variance_G,
                "variance_standardised": statistics.variance_standardised_G,
            }
            return writer.finish(columns, description)

    def filtered(self, quality: Quality, selection: Selection) -> dict[str, int]:
        """The filters as recorded in dataset.json: cells and genes before and after."""
        return {
            "cells_before": self.reader.cells,
            "cells_after": int(quality.kept_N.sum()),
            "empty_cells": quality.cells.empty,
            "genes_before": len(self.reader.genes),
            "genes_after_filter": selection.genes_after_filter,
            "genes": len(selection.genes),
        }

    def _blocks(self, title: str, order: int) -> Iterator[CsrBlock]:
        reader = self.reader
        per_cell = max(1, reader.nonzeros // max(1, reader.cells))
        rows = min(max(ENTRIES_PER_BLOCK // per_cell, 256), 16_384)
        total = -(-reader.cells // rows)
        return _shown(prefetched(reader.blocks(rows)), f"{title} ({order} of {self.number})", total)


def read_source(path: Path) -> dict[str, Any]:
    """Ingest's description of its input; ExpectedError where it has not run."""
    try:
        source: dict[str, Any] = read_json(path)
    except FileNotFoundError as error:
        raise ExpectedError(
            f"{path} not found: run ingest first, with: dvc repro ingest@{path.parts[-3]}-{path.parts[-2]}"
        ) from error
    except ValueError as error:
        again = f"dvc repro --force {_maker(path)}"
        raise ExpectedError(f"{path} is damaged: {error}; make it again with: {again}") from error
    return source


def compact(column: Column) -> Column:
    """The narrowest integer type: only these arrays grow with the number of cells."""
    return Column(column.codes.astype(np.min_scalar_type(len(column.labels))), column.labels, column.unmatched)


def sizes(dataset: dict[str, Any]) -> list[str]:
    """Cells and genes before and after filtering, as lines for people."""
    filtered = dataset["filtered"]
    return [
        f"cells: {filtered['cells_before']:,} -> {filtered['cells_after']:,} after filtering",
        f"genes: {filtered['genes_before']:,} -> {filtered['genes_after_filter']:,} after filtering "
        f"-> {filtered['genes']:,} highly variable",
    ]


def _read_run(
    reader: RawCells,
    run: tuple[int, int],
    place_G: npt.NDArray[np.int32],
    genes: int,
    covariates: Mapping[str, Column],
    spatial_NS: Places | None,
) -> tuple[Cells, npt.NDArray[np.int64]]:
    """The cells of a run with the selected genes only, and their counts over all genes."""
    block = reader.block(*run)
    places = np.take(place_G, block.indices, mode="clip")  # clip: unchecked, since the reader has checked
    entries = np.flatnonzero(places >= 0)
    indptr = np.searchsorted(entries, block.indptr)
    selected = CsrBlock(block.start, indptr, places[entries], block.counts[entries])
    cells = Cells(
        genes=genes,
        names=reader.names(*run),
        indptr=selected.indptr,
        indices=selected.indices,
        counts=selected.counts,
        covariates={name: column.codes[slice(*run)].astype(np.int64) for name, column in covariates.items()},
        library_size=counts_per_cell(selected),
        spatial=None if spatial_NS is None else spatial_NS[slice(*run)],
    )
    return cells, counts_per_cell(block)


def _shown(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    """The same items, with a bar in a terminal and one plain line elsewhere."""
    if not sys.stderr.isatty():
        print(f"preprocess: {title}", flush=True)
    return iter(tqdm(items, title, total, disable=not sys.stderr.isatty()))


def _maker(path: Path) -> str:
    """The stage that writes data/raw/<system>/<study>/<file>."""
    return "@".join(["ingest", "-".join(path.parts[-3:-1])])
