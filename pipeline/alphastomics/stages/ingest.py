"""Sections of tissue, a lab's files or simulated ones, validated and written in one form to data/raw/."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.alphastomics.data.lab_file import lab_file
from pipeline.alphastomics.data.recipe import read_recipe
from pipeline.alphastomics.data.simulation import Tissue, simulate
from pipeline.alphastomics.params.ingest import Ingest
from pipeline.core.entry import run_study_stage
from pipeline.core.files import atomic_folder, write_json
from pipeline.core.paths import StudyPaths
from pipeline.data.contract import CONTRACTS, Accepted
from pipeline.data.input_files import InputFiles, input_files
from pipeline.data.parts import Part, folder_notes, name_of, read_parts, sha256_of
from pipeline.data.source import counted
from pipeline.data.standard_copy import standard_copy
from pipeline.data.standard_h5ad import standard_h5ad_file
from pipeline.data.union import merge
from pipeline.data.untracked import advice_on

SECTION = "alphastomics.ingest"


def run(settings: Ingest, at: StudyPaths) -> None:
    """Write data/raw/alphastomics/<study>, all of it or, on a problem, nothing."""
    parts = read_parts(at)
    inputs = None if parts else input_files(settings.path, f"{at.key}.ingest.path")
    recipe = inputs.recipe if inputs else None
    with atomic_folder(at.raw) as folder:
        if inputs is None:
            accepted, description = _merge(parts, folder, settings, at)
        elif recipe is not None:
            accepted, description = _simulate(recipe, folder)
        else:
            accepted, description = _accept(inputs, folder, settings, at)
        source = {
            "schema_version": 1,
            "kind": "spatial",
            "simulated": recipe is not None,
            "description": description,
            "input": settings.path,
            "input_sha256": inputs.sha256() if inputs else sha256_of(parts),
            "notes": accepted.notes,
        }
        write_json(folder / "source.json", source)
    print("\n".join([_summary(description, accepted), *advice_on(settings.path)]))


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


def _accept(inputs: InputFiles, folder: Path, settings: Ingest, at: StudyPaths) -> tuple[Accepted, str]:
    accepted = standard_copy(CONTRACTS["spatial"], lab_file(inputs.files[0], settings, at), folder / "cells.h5ad")
    accepted.notes.extend(inputs.notes)
    return accepted, _described(inputs.name, accepted)


def _merge(parts: Sequence[Part], folder: Path, settings: Ingest, at: StudyPaths) -> tuple[Accepted, str]:
    first = Path(parts[0].file)
    accepted = merge(CONTRACTS["spatial"], lab_file(first, settings, at), parts, folder)
    accepted.notes.extend(folder_notes(at))
    return accepted, _described(name_of(settings.path, parts), accepted)


def _described(name: str, accepted: Accepted) -> str:
    sections = counted(len(accepted.columns["section"].labels), "section")
    return f"{name}: {accepted.cells:,} cells x {accepted.genes:,} genes in {sections}"


def _summary(description: str, accepted: Accepted) -> str:
    """What a person wants to see after ingest: sizes, sections, cell types, notes."""
    section, cell_type = accepted.columns["section"], accepted.columns["cell_type"]
    sizes = np.bincount(section.codes, minlength=len(section.labels)).tolist()
    width = max(map(len, section.labels))
    lines = [description, ""]
    lines += [
        f"{label.ljust(width)}  {counted(cells, 'cell')}" for label, cells in zip(section.labels, sizes, strict=True)
    ]
    types = cell_type.labels
    lines += ["", f"cell types: {len(types)} ({', '.join(types[:10])}{', ...' if len(types) > 10 else ''})"]
    return "\n".join(lines + [f"note: {note}" for note in accepted.notes])


if __name__ == "__main__":
    run_study_stage(SECTION, run)
