"""The sections of a study to a sharded parquet store: cells and genes filtered, sections framed, cells split and
shuffled.

Four passes over the cells, none of which holds more than a few blocks of them (pipeline.data.streaming_preprocess).
Cells are split once it is known which are kept, and genes are chosen by training and validation cells alone. Axes: N
cells, S dimensions.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.alphastomics.data.section_splits import (
    MARGIN,
    TRAIN,
    VALIDATION,
    SectionSplit,
    assign_cells,
    check_sections,
)
from pipeline.alphastomics.params.preprocess import FoldPreprocess
from pipeline.core.entry import run_study_stage
from pipeline.core.errors import ExpectedError
from pipeline.core.files import atomic_folder, write_json
from pipeline.core.paths import StudyPaths
from pipeline.core.text_table import aligned
from pipeline.data.cells import Places
from pipeline.data.columns import Column
from pipeline.data.coordinates import Coordinates, Frame
from pipeline.data.store import SPLITS
from pipeline.data.streaming_preprocess import Quality, compact, open_passes, read_source, sizes

SECTION = "alphastomics.preprocess"
COVARIATES = ("section", "cell_type")


def run(settings: FoldPreprocess, at: StudyPaths) -> None:
    """Write the store of a fold and its quality control, all of it or, on a problem, nothing."""
    raw = at.raw
    source = read_source(raw / "source.json")
    split = SectionSplit(**{name: getattr(settings, name) for name in SectionSplit.__dataclass_fields__})
    with open_passes(raw, settings, SECTION, number=4) as passes:
        reader = passes.reader
        covariates = {name: compact(reader.covariate(name)) for name in COVARIATES}
        sections, places_NS = covariates["section"], reader.spatial()
        if places_NS is None:
            raise ExpectedError(
                f"{raw} has cells without positions: write it again with dvc repro -f ingest@alphastomics-{at.study}"
            )
        check_sections(split, sections.labels)  # before the passes, which take time
        quality = passes.quality(np.ones(reader.cells, bool))
        frames = _frames(places_NS, sections, quality.kept_N)
        split_N = assign_cells(split, places_NS, sections.codes, sections.labels, quality.kept_N)
        learned_N = (split_N == TRAIN) | (split_N == VALIDATION)
        quality = passes.learned_from(quality, learned_N, 2)
        selection = passes.select_genes(quality, learned_N)
        cells = _cells(sections, split_N)
        description = {
            **{key: source[key] for key in ("kind", "simulated", "description", "input_sha256")},
            "split": split.described(),
            "spatial": {"dimensions": places_NS.shape[1]},
            "sections": {name: {**frame.described(), "cells": cells[name]} for name, frame in frames.items()},
            "filtered": passes.filtered(quality, selection),
            "notes": source["notes"] + selection.notes,
        }
        spatial_NS = _in_frames(places_NS, sections, frames)
        with atomic_folder(at.store) as folder:
            dataset = passes.write_store(folder, selection, covariates, spatial_NS, split_N, description)
    write_json(at.quality, _quality_report(quality, sections, settings, dataset))
    print(_summary(dataset))


def _frames(places_NS: Coordinates, sections: Column, kept_N: npt.NDArray[np.bool_]) -> dict[str, Frame]:
    """The frame of each section, of its kept cells; ExpectedError where one has none."""
    rows = [np.flatnonzero((sections.codes == code) & kept_N) for code in range(len(sections.labels))]
    kept = dict(zip(sections.labels, rows, strict=True))
    empty = [repr(label) for label, chosen in kept.items() if not len(chosen)]
    if empty:
        raise ExpectedError(
            f"all cells of section {', '.join(empty)} were dropped: lower {SECTION}.min_counts_per_cell or "
            "min_genes_per_cell in params.yaml, or leave this section out of the input"
        )
    return {label: Frame.of_section(places_NS[chosen], label) for label, chosen in kept.items()}


def _in_frames(places_NS: Coordinates, sections: Column, frames: dict[str, Frame]) -> Places:
    """Every cell's place in the frame of its section, (N, S)."""
    scaled_NS = np.empty(places_NS.shape, np.float32)
    for code, label in enumerate(sections.labels):
        rows = np.flatnonzero(sections.codes == code)
        scaled_NS[rows] = frames[label].scaled(places_NS[rows])
    return scaled_NS


def _cells(sections: Column, split_N: npt.NDArray[np.int8]) -> dict[str, dict[str, int]]:
    """Cells of each section by split, and those in the margin between splits."""
    places: dict[str, int] = {**{name: number for number, name in enumerate(SPLITS)}, "margin": MARGIN}
    return {
        label: {name: int((split_N[sections.codes == code] == place).sum()) for name, place in places.items()}
        for code, label in enumerate(sections.labels)
    }


def _quality_report(
    quality: Quality, sections: Column, settings: FoldPreprocess, dataset: dict[str, Any]
) -> dict[str, Any]:
    before, after = (
        np.bincount(codes, minlength=len(sections.labels)).tolist()
        for codes in (sections.codes, sections.codes[quality.kept_N])
    )
    thresholds = ("min_counts_per_cell", "min_genes_per_cell", "min_cells_per_gene")
    return {
        "histograms": quality.cells.histograms(),
        "sections": [
            {"section": label, "before": before[code], "after": after[code]}
            for code, label in enumerate(sections.labels)
        ],
        "groups": [
            {"section": label, "split": split, "cells": cells}
            for label, section in dataset["sections"].items()
            for split, cells in section["cells"].items()
        ],
        "thresholds": {name: getattr(settings, name) for name in thresholds},
        "filtered": dataset["filtered"],
    }


def _summary(dataset: dict[str, Any]) -> str:
    names = [*SPLITS, "margin"]
    grid = [["cells per section", *names]]
    for label, section in dataset["sections"].items():
        grid.append([label, *(f"{section['cells'][name]:,}" for name in names)])
    return "\n".join([*sizes(dataset), *aligned(grid), *(f"note: {note}" for note in dataset["notes"])])


if __name__ == "__main__":
    run_study_stage(SECTION, run)
