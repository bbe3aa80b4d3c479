"""data/raw/perturbation to a sharded parquet store: cells and genes filtered, genes selected, cells split and shuffled.

Three passes over the file, none of which holds more than a few blocks of it: quality and gene moments, clipped gene
moments, writing. What is held out is held out of the gene selection too.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from pipeline import paths
from pipeline.data.arrow import strings
from pipeline.data.canonical_reader import CanonicalReader, open_canonical
from pipeline.data.cells import Cells, Places
from pipeline.data.coordinates import Frame
from pipeline.data.csr import CsrBlock
from pipeline.data.doses import one_treatment_each
from pipeline.data.h5ad import Column
from pipeline.data.highly_variable import ClippedSums, GeneStatistics, GeneSums, expected_deviation, most_variable
from pipeline.data.prefetch import prefetched
from pipeline.data.quality import CellFilter, counts_per_cell, entries_of
from pipeline.data.shuffle import ShuffleBuffer, random_runs
from pipeline.data.splits import TEST, TRAIN, VALIDATION, Group, Groups, Mask, assign, check_groups, find_held_out
from pipeline.data.store import COVARIATES, SPLITS
from pipeline.data.store_writer import StoreWriter
from pipeline.errors import ExpectedError
from pipeline.files import atomic_folder, read_json, write_json
from pipeline.params.preprocess_perturbation import PreprocessPerturbation

SECTION = "preprocess.perturbation"
ENTRIES_PER_BLOCK = 2**19  # 4 MiB of gene indices and counts
T = TypeVar("T")


def run(settings: PreprocessPerturbation) -> None:
    """Write data/processed/perturbation and reports/quality/perturbation.json, all of it or, on a problem, nothing."""
    raw = paths.RAW / "perturbation"
    source = _read_source(raw / "source.json")
    with open_canonical(raw / "cells.h5ad") as reader:
        covariates = {name: _compact(reader.covariate(name)) for name in COVARIATES}
        doses, places_NS = reader.doses(), reader.spatial()
        groups = Groups(
            covariates["cell_type"].codes,
            covariates["perturbation"].codes,
            covariates["cell_type"].labels,
            covariates["perturbation"].labels,
            source["control"],
            one_treatment_each(covariates["perturbation"].labels, source["control"]) if doses is None else doses,
        )
        held_out = find_held_out(groups, [(pair.cell_type, pair.perturbation) for pair in settings.held_out])
        quality = _first_pass(reader, settings, ~groups.among(held_out))
        check_groups(groups, quality.kept_N, held_out, settings.min_cells_per_group)
        split_N = assign(groups, quality.kept_N, held_out, settings.validation_share, settings.seed)
        frame = None if places_NS is None else Frame.of(places_NS[split_N == TRAIN])
        selection = _select_genes(reader, quality, split_N, settings)
        of_some_inputs = {
            "combination": source.get("combination"),
            "doses": doses,
            "spatial": None if frame is None else frame.described(),
        }
        description = {
            **{key: source[key] for key in ("kind", "simulated", "description", "input_sha256", "control")},
            "held_out": [pair.model_dump() for pair in settings.held_out],
            "filtered": {
                "cells_before": reader.cells,
                "cells_after": int(quality.kept_N.sum()),
                "empty_cells": quality.cells.empty,
                "genes_before": len(reader.genes),
                "genes_after_filter": selection.genes_after_filter,
                "genes": len(selection.genes),
            },
            "notes": source["notes"] + selection.notes,
            **{name: value for name, value in of_some_inputs.items() if value is not None},
        }
        spatial_NS = None if frame is None or places_NS is None else frame.scaled(places_NS)
        with atomic_folder(paths.PROCESSED / "perturbation") as folder:
            dataset = _write_store(folder, reader, selection, covariates, spatial_NS, split_N, settings, description)
            if source["simulated"]:
                _write_truth(
                    raw / "truth.parquet", folder / "truth.parquet", [reader.genes[g] for g in selection.genes]
                )
    write_json(
        paths.QUALITY / "perturbation.json", _quality_report(quality, groups, held_out, settings, dataset["filtered"])
    )
    print(_summary(dataset))


@dataclass(frozen=True)
class _Quality:
    cells: CellFilter
    kept_N: Mask
    sums: GeneSums  # of the kept cells that are not held out
    detected_G: npt.NDArray[np.int64]  # kept cells, held out or not, in which each gene is seen


@dataclass(frozen=True)
class _Selection:
    genes: npt.NDArray[np.int64]  # ascending indices into the genes of the input
    statistics: GeneStatistics  # of these genes
    genes_after_filter: int
    notes: list[str]


def _first_pass(reader: CanonicalReader, settings: PreprocessPerturbation, learned_N: Mask) -> _Quality:
    cells = CellFilter(settings.min_counts_per_cell, settings.min_genes_per_cell)
    kept_N = np.zeros(reader.cells, bool)
    sums = GeneSums(len(reader.genes))
    detected_G = np.zeros(len(reader.genes), np.int64)
    for block in _blocks(reader, "quality and gene moments (1 of 3)"):
        rows = slice(block.start, block.start + len(block))
        kept_N[rows] = cells.keep(block)
        learned = kept_N[rows] & learned_N[rows]
        sums.add(int(learned.sum()), *entries_of(block, learned))
        held_out, _ = entries_of(block, kept_N[rows] & ~learned_N[rows])
        detected_G += np.bincount(held_out, minlength=len(detected_G))
    if not kept_N.any():
        raise ExpectedError(
            f"all {reader.cells:,} cells were dropped: none has at least {settings.min_counts_per_cell} counts and "
            f"{settings.min_genes_per_cell} detected genes; lower {SECTION}.min_counts_per_cell or min_genes_per_cell "
            "in params.yaml"
        )
    return _Quality(cells, kept_N, sums, detected_G + sums.detected_G)


def _select_genes(
    reader: CanonicalReader, quality: _Quality, split_N: npt.NDArray[np.int8], settings: PreprocessPerturbation
) -> _Selection:
    passing = np.flatnonzero(quality.detected_G >= settings.min_cells_per_gene)
    if not len(passing):
        raise ExpectedError(
            f"all {len(reader.genes):,} genes were dropped: none is detected in at least {settings.min_cells_per_gene} "
            f"kept cells; lower {SECTION}.min_cells_per_gene in params.yaml"
        )
    notes = []
    asked = settings.highly_variable_genes
    if len(passing) <= asked:
        notes.append(f"{len(passing)} genes are left after filtering, {asked} were asked for: all of them are kept")
    mean_G, variance_G = quality.sums.mean_G, quality.sums.variance_G
    deviation_G, standardised_G = np.ones_like(mean_G), np.full_like(mean_G, np.nan)
    try:
        deviation_G[passing] = expected_deviation(mean_G[passing], variance_G[passing])
    except ExpectedError as error:
        if len(passing) > asked:
            raise
        notes.append(f"the genes are not ranked, since all are kept: {error}")
    else:
        clipped = ClippedSums(quality.sums, deviation_G)
        for block in _blocks(reader, "gene ranking (2 of 3)"):
            split = split_N[block.start : block.start + len(block)]
            clipped.add(block, (split == TRAIN) | (split == VALIDATION))
        standardised_G = clipped.standardised_variance_G
    genes = passing[most_variable(standardised_G[passing], asked)]
    statistics = GeneStatistics(mean_G, variance_G, standardised_G).select(genes)
    return _Selection(genes, statistics, len(passing), notes)


def _write_store(
    folder: Path,
    reader: CanonicalReader,
    selection: _Selection,
    covariates: dict[str, Column],
    spatial_NS: Places | None,
    split_N: npt.NDArray[np.int8],
    settings: PreprocessPerturbation,
    description: dict[str, Any],
) -> dict[str, Any]:
    place_G = np.full(len(reader.genes), -1, np.int32)
    place_G[selection.genes] = np.arange(len(selection.genes))
    rng = np.random.default_rng([settings.seed, 1])  # apart from the choice of validation cells
    runs = list(random_runs(reader.cells, rng))
    categories = {name: covariates[name].labels for name in COVARIATES}
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
        for (start, stop), (cells, total_counts) in zip(
            runs, _shown(prefetched(parts), "writing (3 of 3)", len(runs)), strict=True
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


def _read_run(
    reader: CanonicalReader,
    run: tuple[int, int],
    place_G: npt.NDArray[np.int32],
    genes: int,
    covariates: dict[str, Column],
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
        library_size=counts_per_cell(selected),
        **{name: covariates[name].codes[slice(*run)].astype(np.int64) for name in COVARIATES},
        spatial=None if spatial_NS is None else spatial_NS[slice(*run)],
    )
    return cells, counts_per_cell(block)


def _write_truth(source: Path, target: Path, genes: list[str]) -> None:
    truth = pq.ParquetFile(source).read()
    kept = truth.filter(pc.is_in(truth.column("gene"), value_set=strings(genes)))
    pq.write_table(kept, target, compression="zstd")


def _quality_report(
    quality: _Quality, groups: Groups, held_out: list[Group], settings: PreprocessPerturbation, filtered: dict[str, int]
) -> dict[str, Any]:
    before_CP, after_CP = groups.sizes(), groups.sizes(quality.kept_N)
    thresholds = ("min_counts_per_cell", "min_genes_per_cell", "min_cells_per_gene", "min_cells_per_group")
    return {
        "histograms": quality.cells.histograms(),
        "groups": [
            {
                "cell_type": groups.cell_types[c],
                "perturbation": groups.perturbations[p],
                "before": int(before_CP[c, p]),
                "after": int(after_CP[c, p]),
                "split": SPLITS[TEST] if (c, p) in held_out else SPLITS[TRAIN],
            }
            for c, p in np.argwhere(before_CP > 0).tolist()
        ],
        "thresholds": {name: getattr(settings, name) for name in thresholds},
        "filtered": filtered,
    }


def _summary(dataset: dict[str, Any]) -> str:
    filtered = dataset["filtered"]
    held_out = ", ".join(f"({pair['cell_type']}, {pair['perturbation']})" for pair in dataset["held_out"])
    lines = [
        f"cells: {filtered['cells_before']:,} -> {filtered['cells_after']:,} after filtering",
        f"genes: {filtered['genes_before']:,} -> {filtered['genes_after_filter']:,} after filtering "
        f"-> {filtered['genes']:,} highly variable",
        "splits: " + ", ".join(f"{name} {dataset['splits'][name]['cells']:,}" for name in SPLITS) + f" = {held_out}",
    ]
    return "\n".join(lines + [f"note: {note}" for note in dataset["notes"]])


def _read_source(path: Path) -> dict[str, Any]:
    try:
        source: dict[str, Any] = read_json(path)
    except FileNotFoundError as error:
        raise ExpectedError(f"{path} not found: run ingest first, with: dvc repro ingest@perturbation") from error
    return source


def _compact(column: Column) -> Column:
    # One byte per cell where it is enough: these arrays are all that grows with the number of cells.
    return Column(column.codes.astype(np.min_scalar_type(len(column.labels))), column.labels, column.unmatched)


def _blocks(reader: CanonicalReader, title: str) -> Iterator[CsrBlock]:
    per_cell = max(1, reader.nonzeros // max(1, reader.cells))
    rows = min(max(ENTRIES_PER_BLOCK // per_cell, 256), 16_384)
    return _shown(prefetched(reader.blocks(rows)), title, -(-reader.cells // rows))


def _shown(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    """The same items, with a bar in a terminal and one plain line elsewhere."""
    if not sys.stderr.isatty():
        print(f"preprocess: {title}", flush=True)
    return iter(tqdm(items, title, total, disable=not sys.stderr.isatty()))
