"""Validate perturbation data, from a lab or simulated, and write it in one format to data/raw/."""

from collections.abc import Sequence
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
from pipeline.core.files import atomic_folder, write_json
from pipeline.core.paths import StudyPaths
from pipeline.data.confounding import contingency
from pipeline.data.contract import CONTRACTS, Accepted
from pipeline.data.h5ad import Column
from pipeline.data.input_files import InputFiles, input_files
from pipeline.data.parts import Part, folder_notes, name_of, read_parts, sha256_of
from pipeline.data.standard_copy import standard_copy
from pipeline.data.standard_h5ad import standard_h5ad_file
from pipeline.data.union import merge
from pipeline.data.untracked import advice_on

SECTION = "cfm_vc.ingest"
ONE_BATCH = "all"  # the batch of every cell where one file says none


def run(settings: Ingest, at: StudyPaths) -> None:
    """Write data/raw/cfm_vc/<study>; nothing on error."""
    parts = read_parts(at)
    inputs = None if parts else input_files(settings.path, f"{at.key}.ingest.path")
    recipe = inputs.recipe if inputs else None
    with atomic_folder(at.raw) as folder:
        if inputs is None:
            accepted, description = _merge(parts, folder, settings, at)
        elif recipe is not None:
            accepted, description = _simulate(recipe, folder, settings, at)
        else:
            accepted, description = _accept(inputs, folder, settings, at)
        source = {
            "schema_version": 1,
            "kind": "perturbation",
            "simulated": recipe is not None,
            "description": description,
            "input": settings.path,
            "input_sha256": inputs.sha256() if inputs else sha256_of(parts),
            "control": settings.control,
            "notes": accepted.notes,
            **({"combination": accepted.combination} if accepted.combination is not None else {}),
        }
        write_json(folder / "source.json", source)
    print("\n".join([_summary(description, accepted), *advice_on(settings.path)]))


def _accept(inputs: InputFiles, folder: Path, settings: Ingest, at: StudyPaths) -> tuple[Accepted, str]:
    source = lab_file(inputs.files[0], settings, at, ONE_BATCH)
    accepted = standard_copy(CONTRACTS["perturbation"], source, folder / "cells.h5ad")
    accepted.notes.extend(inputs.notes)
    return accepted, _described(inputs.name, accepted)


def _merge(parts: Sequence[Part], folder: Path, settings: Ingest, at: StudyPaths) -> tuple[Accepted, str]:
    first = Path(parts[0].file)
    accepted = merge(CONTRACTS["perturbation"], lab_file(first, settings, at, first.stem), parts, folder)
    accepted.notes.extend(folder_notes(at))
    return accepted, _described(name_of(settings.path, parts), accepted)


def _described(name: str, accepted: Accepted) -> str:
    return f"{name}: {accepted.cells:,} cells x {accepted.genes:,} genes"


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


def _summary(description: str, accepted: Accepted) -> str:
    """Summary for the terminal: sizes, cells per group, notes."""
    rows: Column = accepted.columns["cell_type"]
    heads: Column = accepted.columns["perturbation"]
    table = contingency(rows.codes, heads.codes, (len(rows.labels), len(heads.labels)))
    grid = [["cells per group", *heads.labels]]
    grid += [[label, *(f"{cells:,}" for cells in counts)] for label, counts in zip(rows.labels, table, strict=True)]
    widths = [max(map(len, cells)) for cells in zip(*grid, strict=True)]
    lines = [description, ""]
    for label, *cells in grid:
        numbers = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([label.ljust(widths[0]), *numbers]))
    batches = accepted.columns["batch"].labels
    lines += ["", f"batches: {len(batches)} ({', '.join(batches[:10])}{', ...' if len(batches) > 10 else ''})"]
    return "\n".join(lines + [f"note: {note}" for note in accepted.notes])


if __name__ == "__main__":
    run_study_stage(SECTION, run)
