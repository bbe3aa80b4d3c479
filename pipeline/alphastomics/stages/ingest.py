"""Sections of tissue, a lab's files or simulated ones, validated and written in one form to data/raw/."""

from pathlib import Path

import numpy as np

from pipeline.alphastomics.data.lab_file import lab_file
from pipeline.alphastomics.data.recipe import read_recipe
from pipeline.alphastomics.data.simulation import Tissue, simulate
from pipeline.alphastomics.params.ingest import Ingest
from pipeline.core.entry import run_study_stage
from pipeline.core.paths import StudyPaths
from pipeline.core.text_table import aligned
from pipeline.core.wording import counted
from pipeline.data.contract import Accepted
from pipeline.data.ingest_cells import first_labels, ingest_cells
from pipeline.data.standard_h5ad import standard_h5ad_file

SECTION = "alphastomics.ingest"


def run(settings: Ingest, at: StudyPaths) -> None:
    """Write data/raw/alphastomics/<study>, all of it or, on a problem, nothing."""
    ingest_cells("spatial", settings.path, at, lambda path, _: lab_file(path, settings, at), _simulate, _summary)


def write_tissue(tissue: Tissue, folder: Path) -> None:
    """Write cells.h5ad of a simulated tissue."""
    with standard_h5ad_file(folder / "cells.h5ad", tissue.genes) as writer:
        for block in tissue.blocks():
            writer.append(block.indptr, block.indices, block.counts)
        writer.finish(tissue.names(), tissue.columns, None, tissue.places_NS)


def _simulate(path: Path, folder: Path) -> tuple[Accepted, str]:
    recipe = read_recipe(path)
    tissue = simulate(recipe)
    write_tissue(tissue, folder)
    cells, genes = len(tissue.places_NS), len(tissue.genes)
    description = (
        f"Simulated: {counted(recipe.sections, 'section')} of a layered tissue in {recipe.dimensions} dimensions, "
        f"{cells:,} cells x {genes:,} genes, with places known and expression drawn from them"
    )
    return Accepted(cells, genes, tissue.columns, []), description


def _summary(accepted: Accepted) -> list[str]:
    """Cells per section, and the cell types."""
    section = accepted.columns["section"]
    sizes = np.bincount(section.codes, minlength=len(section.labels)).tolist()
    grid = [(label, counted(cells, "cell")) for label, cells in zip(section.labels, sizes, strict=True)]
    lines = [line.rstrip() for line in aligned(grid, left=2)]
    return [*lines, "", first_labels("cell types", accepted.columns["cell_type"].labels)]


if __name__ == "__main__":
    run_study_stage(SECTION, run)
