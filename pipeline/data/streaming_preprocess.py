"""From the cells that ingest has written to a store, in streaming passes with a few blocks in memory, for all kinds.

Quality and gene moments, clipped gene moments, writing: each a list of tasks, one per piece of the cells
(pipeline.data.pieces), done by as many processes as `workers` says. What they give is put together in the order of the
pieces, so it is the same for any number of them. Held-out cells play no part in the gene selection. Axes: N cells, G
genes, S spatial dimensions.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from pipeline.core.errors import ExpectedError
from pipeline.core.files import read_json
from pipeline.core.workers import Workers, start_workers
from pipeline.data import piece_tasks
from pipeline.data.cells import Places
from pipeline.data.columns import Column
from pipeline.data.highly_variable import ClippedSums, GeneStatistics, GeneSums, expected_deviation, most_variable
from pipeline.data.piece_tasks import Mask, Scan, Write
from pipeline.data.pieces import Piece, cut
from pipeline.data.quality import CellFilter
from pipeline.data.raw_cells import RawCells, open_raw_cells
from pipeline.data.store_writer import Layout, finish_store
from pipeline.params.stored_cells import StoredCells

Task = TypeVar("Task")
Result = TypeVar("Result")


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
    """The passes over the cells, by one section of params.yaml; made by `open_passes`."""

    reader: RawCells
    settings: StoredCells
    section: str  # its dotted name, for messages
    number: int  # of passes there will be
    pieces: list[Piece]
    workers: Workers

    def quality(self, learned_N: Mask) -> Quality:
        """The first pass; learned_N: the cells, (N,), of the gene selection. ExpectedError: no cell is left."""
        settings, genes = self.settings, len(self.reader.genes)
        cells = CellFilter(settings.min_counts_per_cell, settings.min_genes_per_cell)
        kept_N = np.zeros(self.reader.cells, bool)
        sums, detected_G = GeneSums(genes), np.zeros(genes, np.int64)
        tasks = ((scan, CellFilter(cells.min_counts, cells.min_genes)) for scan in self._scans(learned_N))
        for piece, found in zip(
            self.pieces, self._each(piece_tasks.quality, tasks, "quality and gene moments", 1), strict=True
        ):
            kept_N[piece.rows] = found.kept_N
            cells.merge(found.cells)
            sums.merge(found.sums)
            detected_G += found.detected_G
        if not kept_N.any():
            raise ExpectedError(
                f"all {self.reader.cells:,} cells were dropped: none has at least {settings.min_counts_per_cell} "
                f"counts and {settings.min_genes_per_cell} detected genes; lower {self.section}.min_counts_per_cell or "
                "min_genes_per_cell in params.yaml"
            )
        return Quality(cells, kept_N, sums, detected_G + sums.detected_G)

    def learned_from(self, quality: Quality, learned_N: Mask, order: int) -> Quality:
        """The same with gene moments over these cells, (N,), only; `order`: the number of this pass."""
        sums = GeneSums(len(self.reader.genes))
        for found in self._each(piece_tasks.gene_sums, self._scans(learned_N), "gene moments", order):
            sums.merge(found)
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
            tasks = ((scan, clipped) for scan in self._scans(learned_N))
            for found in self._each(piece_tasks.clipped_sums, tasks, "gene ranking", self.number - 1):
                clipped.merge(found)
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
        settings = self.settings
        genes = [self.reader.genes[gene] for gene in selection.genes]
        statistics = selection.statistics
        columns = {
            "mean": statistics.mean_G,
            "variance": statistics.variance_G,
            "variance_standardised": statistics.variance_standardised_G,
        }
        categories = {name: column.labels for name, column in covariates.items()}
        of_cells: list[npt.NDArray[Any]] = [split_N, *(column.codes for column in covariates.values())]
        layout = Layout(
            categories,
            settings.cells_per_shard,
            0 if spatial_NS is None else spatial_NS.shape[1],
            _identity(settings, {**description, "categories": categories}, genes, [*columns.values(), *of_cells]),
        )
        folders = [folder / f"piece-{number}" for number in range(len(self.pieces))]

        def tasks() -> Iterator[Write]:
            for piece, own in zip(self.pieces, folders, strict=True):
                runs, rng = piece.dealt(settings.seed)
                rows = np.concatenate([np.arange(*run) for run in runs])
                yield Write(
                    own,
                    layout,
                    settings.cells_per_row_group,
                    runs,
                    rng,
                    selection.genes,
                    split_N[rows],
                    {name: column.codes[rows] for name, column in covariates.items()},
                    None if spatial_NS is None else spatial_NS[rows],
                )

        parts = list(zip(folders, self._each(piece_tasks.write, tasks(), "writing", self.number), strict=True))
        return finish_store(folder, parts, layout, genes, columns, description)

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

    def _scans(self, learned_N: Mask) -> Iterator[Scan]:
        return (Scan(piece.rows, learned_N[piece.rows]) for piece in self.pieces)

    def _each(
        self, function: Callable[[RawCells, Task], Result], tasks: Iterable[Task], title: str, order: int
    ) -> Iterator[Result]:
        """What the workers give, with a bar in a terminal and one plain line elsewhere."""
        title = f"{title} ({order} of {self.number})"
        terminal = sys.stderr.isatty()
        if not terminal:
            print(f"preprocess: {title}", flush=True)
        return iter(tqdm(self.workers.each(function, tasks), title, len(self.pieces), disable=not terminal))


@contextmanager
def open_passes(raw: Path, settings: StoredCells, section: str, number: int = 3) -> Iterator[Passes]:
    """Passes over the cells in a folder of data/raw, with the workers that do them."""
    with open_raw_cells(raw) as reader:
        pieces = cut(reader.files)
        with start_workers(min(settings.workers, len(pieces)), partial(open_raw_cells, raw), reader) as workers:
            yield Passes(reader, settings, section, number, pieces, workers)


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


def _identity(
    settings: StoredCells,
    description: Mapping[str, Any],
    genes: list[str],
    statistics: Iterable[npt.NDArray[Any]],
) -> str:
    """A hash of what a store is made of and by which settings; not of how many workers have made it, nor of how the
    files were named and arranged."""
    made_of = hashlib.sha256()
    content = {
        name: value for name, value in description.items() if name not in ("description", "input_sha256", "notes")
    }
    for part in (settings.model_dump(mode="json", exclude={"workers"}), content, genes):
        made_of.update(json.dumps(part, sort_keys=True).encode())
    for values in statistics:
        made_of.update(values.tobytes())
    return made_of.hexdigest()[:32]


def _maker(path: Path) -> str:
    """The stage that writes data/raw/<system>/<study>/<file>."""
    return "@".join(["ingest", "-".join(path.parts[-3:-1])])
