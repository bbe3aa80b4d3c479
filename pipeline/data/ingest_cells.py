"""Cells of a study, from a lab's files or a recipe, validated and written in one form to data/raw/."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.files import atomic_folder, write_json
from pipeline.core.paths import StudyPaths
from pipeline.core.wording import counted
from pipeline.data.contract import CONTRACTS, Accepted
from pipeline.data.input_files import input_files
from pipeline.data.parts import folder_notes, name_of, read_parts, sha256_of
from pipeline.data.source import Source
from pipeline.data.standard_copy import standard_copy
from pipeline.data.union import merge
from pipeline.data.untracked import advice_on


def ingest_cells(
    kind: str,
    path: str | Sequence[str],
    at: StudyPaths,
    source_of: Callable[[Path, bool], Source],
    simulate: Callable[[Path, Path], tuple[Accepted, str]],
    summary: Callable[[Accepted], list[str]],
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write data/raw/<system>/<study>, all of it or, on a problem, nothing; and say what it is.

    kind: of CONTRACTS; path: as params.yaml has it; source_of: a file as the settings describe it, and whether it is
    one of several; simulate: writes the cells of a recipe into a folder, and says what they are; summary: lines for the
    terminal; about: what source.json says beside what it says of all kinds.
    """
    parts = read_parts(at)
    inputs = None if parts else input_files(path, f"{at.key}.ingest.path")
    recipe = inputs.recipe if inputs else None
    contract = CONTRACTS[kind]
    with atomic_folder(at.raw) as folder:
        if recipe is not None:
            accepted, description = simulate(recipe, folder)
        elif inputs is not None:
            accepted = standard_copy(contract, source_of(inputs.files[0], False), folder / "cells.h5ad")
            accepted.notes.extend(inputs.notes)
            description = _described(inputs.name, accepted)
        else:
            accepted = merge(contract, source_of(Path(parts[0].file), True), parts, folder)
            accepted.notes.extend(folder_notes(at))
            description = _described(name_of(path, parts), accepted)
        source = {
            "schema_version": 1,
            "kind": kind,
            "simulated": recipe is not None,
            "description": description,
            "input": path,
            "input_sha256": inputs.sha256() if inputs else sha256_of(parts),
            **(about or {}),
            "notes": accepted.notes,
            **({"combination": accepted.combination} if accepted.combination is not None else {}),
        }
        write_json(folder / "source.json", source)
    notes = [f"note: {note}" for note in accepted.notes]
    print("\n".join([description, "", *summary(accepted), *notes, *advice_on(path)]))


def first_labels(noun: str, labels: Sequence[str]) -> str:
    """How many labels there are and the first of them, as a line for the terminal."""
    return f"{noun}: {len(labels)} ({', '.join(labels[:10])}{', ...' if len(labels) > 10 else ''})"


def _described(name: str, accepted: Accepted) -> str:
    sections = accepted.columns.get("section")
    where = "" if sections is None else f" in {counted(len(sections.labels), 'section')}"
    return f"{name}: {accepted.size}{where}"
