"""Validate perturbation data, from a lab or simulated, and write it in one format to data/raw/."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.cfm_vc.data.lab_file import lab_file
from pipeline.cfm_vc.data.recipe import SEPARATOR, read_recipe
from pipeline.cfm_vc.data.simulation import Simulation, simulate
from pipeline.cfm_vc.params.ingest import Ingest
from pipeline.core.entry import run_study_stage
from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.core.text_table import aligned
from pipeline.data.confounding import contingency
from pipeline.data.contract import Accepted
from pipeline.data.ingest_cells import first_labels, ingest_cells
from pipeline.data.standard_h5ad import standard_h5ad_file

SECTION = "cfm_vc.ingest"


def run(settings: Ingest, at: StudyPaths) -> None:
    """Write data/raw/cfm_vc/<study>; nothing on error."""
    ingest_cells(
        "perturbation",
        settings.path,
        at,
        lambda path, several: lab_file(path, settings, at, several),
        lambda recipe, folder: _simulate(recipe, folder, settings, at),
        _summary,
        {"control": settings.control},
    )


def _simulate(path: Path, folder: Path, settings: Ingest, at: StudyPaths) -> tuple[Accepted, str]:
    recipe = read_recipe(path)
    if recipe.control != settings.control:
        raise ExpectedError(
            f"{path} labels unperturbed cells {recipe.control!r}, but {at.key}.ingest.control is "
            f"{settings.control!r}: use the same label"
        )
    given = [key for key in ("dose", "combination", "spatial") if getattr(settings, key) is not None]
    if given:
        raise ExpectedError(
            f"{' and '.join(f'{at.key}.ingest.{key}' for key in given)} apply only to a lab's file; the recipe {path} "
            "defines these itself: set to null"
        )
    simulation = simulate(recipe)
    write_simulation(simulation, folder)
    genes = len(simulation.templates.genes)
    description = (
        f"Simulated: real PBMC profiles shipped with scanpy, grown to {recipe.cells:,} cells x {genes:,} genes by "
        f"negative-binomial sampling, with {len(simulation.truth.perturbations)} perturbations of known effect"
    )
    separator = SEPARATOR if recipe.combinations else None
    return Accepted(recipe.cells, genes, simulation.columns, [], simulation.doses, separator), description


def write_simulation(simulation: Simulation, folder: Path) -> None:
    """Write cells.h5ad and truth.parquet."""
    with standard_h5ad_file(folder / "cells.h5ad", simulation.templates.genes) as writer:
        for block in simulation.blocks():
            writer.append(block.indptr, block.indices, block.counts)
        writer.finish(simulation.names(), simulation.columns, simulation.doses, simulation.places_NS)
    pq.write_table(truth_table(simulation), folder / "truth.parquet")


def truth_table(simulation: Simulation) -> pa.Table:
    """gene, cell_type, perturbation, log_fold_change (natural log): one row for each of their combinations."""
    perturbations, cell_types = simulation.truth.perturbations, simulation.templates.cell_types
    genes = simulation.templates.genes
    place = np.unravel_index(
        np.arange(simulation.truth.log_fold_change_PTG.size), simulation.truth.log_fold_change_PTG.shape
    )
    labels = [
        np.array(names, dtype=object)[codes]
        for names, codes in zip((perturbations, cell_types, genes), place, strict=True)
    ]
    return pa.table(
        {
            "gene": labels[2],
            "cell_type": labels[1],
            "perturbation": labels[0],
            "log_fold_change": simulation.truth.log_fold_change_PTG.ravel(),
        }
    )


def _summary(accepted: Accepted) -> list[str]:
    """Cells per group, and the batches."""
    rows, heads = accepted.columns["cell_type"], accepted.columns["perturbation"]
    table = contingency(rows.codes, heads.codes, (len(rows.labels), len(heads.labels)))
    grid = [["cells per group", *heads.labels]]
    grid += [[label, *(f"{cells:,}" for cells in counts)] for label, counts in zip(rows.labels, table, strict=True)]
    return [*aligned(grid), "", first_labels("batches", accepted.columns["batch"].labels)]


if __name__ == "__main__":
    run_study_stage(SECTION, run)
