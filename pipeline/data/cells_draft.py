"""Settings that every study of cells has, drafted from its files: where they are, where the counts are, filters."""

import os.path
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.core.errors import ExpectedError
from pipeline.data.cell_files import CellFiles
from pipeline.data.input_files import is_cells
from pipeline.params.draft import Draft
from pipeline.params.stored_cells import StoredCells

# What a cell must have, counts and genes: the next is tried where more than a tenth of the cells has less.
FILTERS = ((20, 10), (10, 5), (5, 3), (1, 1))
MOST_LOST = 0.1


def decide_path(draft: Draft, paths: Sequence[Path], takes_list: bool) -> None:
    """The path or paths; several of one folder that holds no others are the folder. ExpectedError where params.yaml
    cannot name them."""
    if len(paths) == 1:
        draft.decide("ingest.path", str(paths[0]), "")
        return
    folders = {path.parent for path in paths}
    beside = [file for folder in folders for file in folder.iterdir() if is_cells(file)]
    if len(folders) == 1 and {*map(os.path.abspath, beside)} == {*map(os.path.abspath, paths)}:
        draft.decide(
            "ingest.path", str(paths[0].parent), f"the folder of these {len(paths)} files, which has no others"
        )
    elif takes_list:
        draft.decide("ingest.path", [str(path) for path in paths], "read as one, their genes in common")
    else:
        raise ExpectedError("several files of one study lie in a folder of their own: move or link them into one")


def decide_counts(draft: Draft, cells: CellFiles) -> None:
    """The first place that holds counts. ExpectedError where none does."""
    if cells.counts is None and "ingest.counts" not in draft.given:
        raise ExpectedError(
            f"{cells.described}, but no raw counts, which are whole numbers: {cells.no_counts}. Put the counts into "
            "the file, as adata.layers['counts'], and write it again"
        )
    draft.decide("ingest.counts", cells.counts, "the first place that holds whole numbers")


def decide_filters(draft: Draft, cells: CellFiles, shared: StoredCells) -> None:
    """Thresholds that most cells pass: a panel of a few genes has few counts."""
    if not len(cells.totals):
        return
    standing = (shared.min_counts_per_cell, shared.min_genes_per_cell)
    for counts, genes in (standing, *(filters for filters in FILTERS if filters < standing)):
        lost = float(((cells.totals < counts) | (cells.detected < genes)).mean())
        if lost <= MOST_LOST:
            break
    if (counts, genes) != standing:
        before = np.mean((cells.totals < standing[0]) | (cells.detected < standing[1]))
        why = (
            f"{lost:.0%} of the cells have less; {before:.0%} have less than the usual {standing[0]} and {standing[1]}"
        )
        draft.decide("preprocess.min_counts_per_cell", counts, why)
        draft.decide("preprocess.min_genes_per_cell", genes, "likewise")
