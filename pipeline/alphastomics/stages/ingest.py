"""Sections of tissue, a lab's files or simulated ones, validated and written in one form to data/raw/."""

import hashlib
import shutil
from pathlib import Path

import numpy as np

from pipeline.alphastomics.data.joined_files import accept_each, join
from pipeline.alphastomics.data.recipe import read_recipe
from pipeline.alphastomics.data.simulation import Tissue, simulate
from pipeline.alphastomics.params.ingest import Ingest
from pipeline.core.entry import run_study_stage
from pipeline.core.errors import ExpectedError
from pipeline.core.files import atomic_folder, sha256, write_json
from pipeline.core.paths import StudyPaths
from pipeline.data.contract import CONTRACTS, Accepted, accept
from pipeline.data.file_kind import file_kind, is_recipe
from pipeline.data.source import Source, counted, listed
from pipeline.data.standard_h5ad import standard_h5ad_file

SECTION = "alphastomics.ingest"
COVARIATES = ("section", "cell_type")
UNKNOWN = "unknown"  # the cell type of every cell where the file says none


def run(settings: Ingest, at: StudyPaths) -> None:
    """Write data/raw/alphastomics/<study>, all of it or, on a problem, nothing."""
    path = Path(settings.path)
    file_kind(path)  # before a recipe is read: a pipe would be waited for
    simulated = is_recipe(path)
    with atomic_folder(at.raw) as folder:
        if simulated:
            accepted, description = _simulate(path, folder)
        else:
            accepted, description = _accept(path, folder, settings, at)
        source = {
            "schema_version": 1,
            "kind": "spatial",
            "simulated": simulated,
            "description": description,
            "input": settings.path,
            "input_sha256": _folder_sha256(path) if _is_collection(path) else sha256(path),
            "notes": accepted.notes,
        }
        write_json(folder / "source.json", source)
    print(_summary(description, accepted))


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


def _source(path: Path, settings: Ingest, at: StudyPaths) -> Source:
    given = {"section": settings.section, "cell_type": settings.cell_type}
    absent = {"section": path.stem, "cell_type": UNKNOWN}
    return Source(
        path,
        f"{at.key}.ingest",
        settings.counts,
        {name: column for name, column in given.items() if column is not None},
        spatial=settings.spatial if isinstance(settings.spatial, str) else tuple(settings.spatial),
        same_place=settings.same_place,
        constant={name: absent[name] for name, column in given.items() if column is None},
    )


def _accept(path: Path, folder: Path, settings: Ingest, at: StudyPaths) -> tuple[Accepted, str]:
    collection = _is_collection(path)
    files = _files(path) if collection else [path]
    if not files:
        raise ExpectedError(
            f"{path} holds no .h5ad file and no zarr store: expected one or more, each with one or more sections"
        )
    sources = [_source(file, settings, at) for file in files]
    if not collection and settings.same_place == "refuse":  # all of it is taken as it is
        accepted = accept(CONTRACTS["spatial"], sources[0], folder / "cells.h5ad")
    else:
        scratch = folder / "parts"
        scratch.mkdir()
        parts = accept_each(CONTRACTS["spatial"], sources, scratch)
        accepted = join(parts, COVARIATES, folder / "cells.h5ad", settings.same_place == "first")
        shutil.rmtree(scratch)
    accepted.notes.extend(_passed_over(path, files) if collection else [])
    what = f"{path.name}, {counted(len(files), 'file')}" if collection else path.name
    sections = counted(len(accepted.columns["section"].labels), "section")
    return accepted, f"{what}: {accepted.cells:,} cells x {accepted.genes:,} genes in {sections}"


def _is_collection(path: Path) -> bool:
    """Whether it is a folder of files, and not one file or store."""
    return file_kind(path) == "folder"


def _files(folder: Path) -> list[Path]:
    """What is read of a folder; ExpectedError where two have one name, by which their sections are told apart."""
    files = sorted(file for file in folder.iterdir() if _is_cells(file) and not file.name.startswith("."))
    name_of: dict[str, str] = {}
    for file in files:
        other = name_of.setdefault(file.stem, file.name)
        if other != file.name:
            raise ExpectedError(f"{folder} holds {other} and {file.name}: give one of them another name")
    return files


def _is_cells(file: Path) -> bool:
    return file.suffix.lower() in (".h5ad", ".zarr")


def _passed_over(folder: Path, files: list[Path]) -> list[str]:
    """A note on what lies beside the files and is not read; what is hidden only where it has the name of one."""
    others = [file for file in sorted(folder.iterdir()) if file not in files]
    names = [file.name for file in others if _is_cells(file) or not file.name.startswith(".")]
    return [f"{len(names):,} of {folder.name} passed over: {listed(names, 5)}"] if names else []


def _folder_sha256(folder: Path) -> str:
    """Of the names and contents of all files that are read."""
    lines = "".join(f"{sha256(file)}  {file.name}\n" for file in _files(folder))
    return hashlib.sha256(lines.encode()).hexdigest()


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
