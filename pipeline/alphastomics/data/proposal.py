"""A study of tissue drafted from its files: positions, sections, cell types, and settings that such sections bear.

N: cells, S: spatial dimensions.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.alphastomics.data.section_splits import TRAIN, SectionSplit, assign_cells
from pipeline.alphastomics.params.preprocess import Preprocess
from pipeline.alphastomics.params.study import BLOCKS, EACH
from pipeline.alphastomics.params.system import Alphastomics
from pipeline.core.errors import ExpectedError
from pipeline.core.wording import counted
from pipeline.data.cell_files import CellFiles, are_cells, look_into, shown_labels
from pipeline.data.cells_draft import decide_counts, decide_filters, decide_path
from pipeline.data.column_guess import SECTION, candidates, decide_cell_type, given_column, ranked
from pipeline.data.columns import Column
from pipeline.data.coordinates import Coordinates
from pipeline.data.positions import repeats
from pipeline.params.draft import Draft
from pipeline.params.obs_column import ObsColumn

# Names of two or three obs columns that are coordinates, each a pattern of the first and what replaces x in the others.
_FIRST = re.compile(r"^(x|.*(^|[_.\s])x([_.\s].*)?|center_?x.*|x_?cent.*)$", re.IGNORECASE)
_EMBEDDING = re.compile(r"pca|umap|tsne|draw_graph|diffmap|phate|harmony|scvi|latent|embedding", re.IGNORECASE)
_STEP = 32  # cells by which a neighbourhood is rounded down
_MOST_REPEATED = 0.5  # share of cells in the place of another from which the sections are in doubt


def recognise(paths: tuple[Path, ...], given: Mapping[str, Any]) -> str | None:
    """Why these are cells in tissue; None where they are not."""
    if not are_cells(paths):
        return None
    if any(key in given for key in ("ingest.section", "ingest.same_place")):
        return "a setting of tissue is given"
    found = _positions(look_into(paths))
    return None if not found else f"cells have positions ({_named(found[0])}), and no label reads like a control"


def propose(paths: tuple[Path, ...], draft: Draft, shared: Alphastomics) -> None:
    """Draft all that a study needs and that its data decide."""
    cells = look_into(paths)
    draft.data = cells.described
    decide_path(draft, paths, takes_list=False)
    decide_counts(draft, cells)
    spatial = _decide_positions(draft, cells)
    section = _decide_section(draft, cells)
    named = next((d.value for d in draft.decisions if d.key == "ingest.section"), None)
    taken = {ObsColumn.model_validate(named).column} if named is not None else set()
    decide_cell_type(draft, cells, "ingest.cell_type", taken, needed=False)
    decide_filters(draft, cells, shared.preprocess)
    if cells.genes < shared.preprocess.highly_variable_genes:
        draft.decide("preprocess.highly_variable_genes", cells.genes, "all genes of the file")
    if section is None or spatial is None:
        return
    places_NS = cells.positions(spatial)
    if not _decide_same_place(draft, places_NS, section):
        return
    several = len(section.labels) > 1
    why = f"{counted(len(section.labels), 'section')}, each held out in turn" if several else "there is one section"
    held_out = draft.decide("held_out", EACH if several else BLOCKS, why)
    _decide_neighbourhood(draft, places_NS, section, held_out, shared)
    if several:
        draft.decide(
            "diffusion.orientation",
            shared.diffusion.orientation,
            "an axis has one direction in all sections; free, where it has not",
        )


def _positions(cells: CellFiles) -> list[str | list[str]]:
    """Where positions may be: arrays that are no embedding, those that say so first, then columns of numbers."""
    arrays: list[str | list[str]] = [key for key in cells.arrays if not _EMBEDDING.search(key)]
    arrays.sort(key=lambda key: (key != "spatial", not re.search("spatial|coord|xy|pos", str(key), re.IGNORECASE)))
    for first in cells.numbers if not arrays else ():
        others = [re.sub("x", axis, first) for axis in "yz"] if "x" in first else [first.replace("X", a) for a in "YZ"]
        if _FIRST.match(first) and others[0] in cells.numbers and others[0] != first:
            return [[first, *(name for name in others if name in cells.numbers)]]
    return arrays


def _named(spatial: str | Sequence[str]) -> str:
    return f"obsm {spatial!r}" if isinstance(spatial, str) else f"obs {' and '.join(spatial)}"


def _decide_positions(draft: Draft, cells: CellFiles) -> str | list[str] | None:
    key, found = "ingest.spatial", _positions(cells)
    if key in draft.given:
        given = draft.decide(key, None, "")
        known = given in cells.arrays if isinstance(given, str) else set(given) <= set(cells.numbers)
        return given if known else None
    sure = [name for name in found if name == "spatial"] or found
    if len(sure) == 1:
        dimensions = cells.arrays[sure[0]] if isinstance(sure[0], str) else len(sure[0])
        draft.decide(key, sure[0], f"{dimensions} coordinates per cell, in {_named(sure[0])}")
        return sure[0]
    problem = "several arrays may be positions" if sure else "no array in obsm and no obs columns like x and y"
    draft.ask(key, problem, {str(name): _named(name) for name in sure} or dict.fromkeys(cells.numbers[:20], "numbers"))
    return None


def _decide_section(draft: Draft, cells: CellFiles) -> Column | None:
    """The section of each cell; None where that is not known, which `draft` then asks."""
    key = "ingest.section"
    if key in draft.given:
        return given_column(draft, cells, key) or cells.file_of_cell()
    points = ranked(cells, SECTION)
    best = [name for name, value in points.items() if value == max(points.values())]
    if len(cells.files) > 1 and (not best or max(points.values()) < 5):
        draft.decide(key, None, "each file is a section")
        return cells.file_of_cell()
    if len(best) == 1:
        draft.decide(key, best[0], f"by its name; {shown_labels(cells.labels[best[0]])}")
        return cells.labels[best[0]]
    if best:
        draft.ask(key, "several columns may tell sections apart", candidates(cells, best))
        return None
    draft.decide(key, None, "no column tells sections apart: the file is one section")
    return cells.file_of_cell()


def _decide_same_place(draft: Draft, places_NS: Coordinates, section: Column) -> bool:
    """What becomes of cells in the place of another; whether that is clear."""
    key = "ingest.same_place"
    repeated = len(repeats(places_NS, section.codes)) if np.isfinite(places_NS).all() else 0
    if key in draft.given or not repeated:
        return True
    if repeated > _MOST_REPEATED * len(places_NS):
        problem = (
            f"{repeated:,} cells lie in the place of another: are these sections over each other (ingest.section)?"
        )
        draft.ask(key, problem, {"first": "keep the first of each", "refuse": "stop at ingest"})
        return False
    draft.decide(key, "first", f"{counted(repeated, 'cell')} in the place of another, left out; refuse: stop there")
    return True


def _decide_neighbourhood(
    draft: Draft, places_NS: Coordinates, section: Column, held_out: Any, shared: Alphastomics
) -> None:
    """As many cells as the smallest training section has, where that is less than usual."""
    preprocess, usual = shared.preprocess, shared.diffusion.neighbourhood
    if held_out == EACH:
        tests = [[label] for label in section.labels]
    else:
        tests = [[]] if held_out == BLOCKS else [list(held_out)]
    try:
        least = min(_least(preprocess, test, places_NS, section) for test in tests)
    except ExpectedError as error:
        draft.notes.append(f"preprocess will not split these sections: {error}")
        return
    if least < usual:
        fitting = max(2, least // _STEP * _STEP or least)
        draft.decide("diffusion.neighbourhood", fitting, f"the smallest training section has {counted(least, 'cell')}")


def _least(preprocess: Preprocess, test: Sequence[str], places_NS: Coordinates, section: Column) -> int:
    """Training cells of the smallest training section."""
    split = SectionSplit(
        test,
        preprocess.validation_sections,
        preprocess.blocks_per_side,
        preprocess.test_share,
        preprocess.validation_share,
        preprocess.margin,
        preprocess.seed,
    )
    split_N = assign_cells(split, places_NS, section.codes, section.labels, section.codes >= 0)
    sizes = np.bincount(section.codes[split_N == TRAIN], minlength=len(section.labels))
    return int(sizes[sizes > 0].min())
