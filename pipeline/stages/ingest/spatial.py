"""Sections of tissue, a lab's files or simulated ones, validated and in canonical form in data/raw/spatial."""

import hashlib
import shutil
from pathlib import Path

import numpy as np

from pipeline import paths
from pipeline.data.canonical import canonical_file
from pipeline.data.contract import CONTRACTS, Accepted, accept
from pipeline.data.embedded.tissue import Tissue, simulate
from pipeline.data.embedded.tissue_recipe import read_recipe
from pipeline.data.joined_files import accept_each, join
from pipeline.data.source import Source, counted
from pipeline.errors import ExpectedError
from pipeline.files import atomic_folder, sha256, write_json
from pipeline.params.ingest_spatial import IngestSpatial

SECTION = "ingest.spatial"
COVARIATES = ("section", "cell_type")
UNKNOWN = "unknown"  # the cell type of every cell where the file says none


def run(settings: IngestSpatial) -> None:
    """Write data/raw/spatial, all of it or, on a problem, nothing."""
    path = Path(settings.path)
    simulated = path.suffix == ".yaml"
    with atomic_folder(paths.RAW / "spatial") as folder:
        if simulated:
            accepted, description = _simulate(path, folder)
        elif path.is_dir() or path.suffix == ".h5ad":
            accepted, description = _accept(path, folder, settings)
        else:
            raise ExpectedError(
                f"{SECTION}.path = {settings.path!r} is no folder: expected an .h5ad file, a folder of such files, or "
                "a recipe of simulated tissue (.yaml)"
            )
        source = {
            "schema_version": 1,
            "kind": "spatial",
            "simulated": simulated,
            "description": description,
            "input": settings.path,
            "input_sha256": _folder_sha256(path) if path.is_dir() else sha256(path),
            "notes": accepted.notes,
        }
        write_json(folder / "source.json", source)
    print(_summary(description, accepted))


def write_tissue(tissue: Tissue, folder: Path) -> None:
    """Write cells.h5ad of a simulated tissue."""
    with canonical_file(folder / "cells.h5ad", tissue.genes) as writer:
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


def _source(path: Path, settings: IngestSpatial) -> Source:
    given = {"section": settings.section, "cell_type": settings.cell_type}
    absent = {"section": path.stem, "cell_type": UNKNOWN}
    return Source(
        path,
        SECTION,
        settings.counts,
        {name: column for name, column in given.items() if column is not None},
        spatial=settings.spatial if isinstance(settings.spatial, str) else tuple(settings.spatial),
        same_place=settings.same_place,
        constant={name: absent[name] for name, column in given.items() if column is None},
    )


def _accept(path: Path, folder: Path, settings: IngestSpatial) -> tuple[Accepted, str]:
    files = _files(path) if path.is_dir() else [path]
    if not files:
        raise ExpectedError(f"{path} holds no .h5ad file: expected one or more, each with one or more sections")
    sources = [_source(file, settings) for file in files]
    if not path.is_dir() and settings.same_place == "refuse":  # all of it is taken as it is
        accepted = accept(CONTRACTS["spatial"], sources[0], folder / "cells.h5ad")
    else:
        scratch = folder / "parts"
        scratch.mkdir()
        parts = accept_each(CONTRACTS["spatial"], sources, scratch)
        accepted = join(parts, COVARIATES, folder / "cells.h5ad", settings.same_place == "first")
        shutil.rmtree(scratch)
    what = f"{path.name}, {counted(len(files), 'file')}" if path.is_dir() else path.name
    sections = counted(len(accepted.columns["section"].labels), "section")
    return accepted, f"{what}: {accepted.cells:,} cells x {accepted.genes:,} genes in {sections}"


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.h5ad") if not file.name.startswith("."))


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
