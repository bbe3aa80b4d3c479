"""The parts of a study: its files, each checked and copied by a stage of its own, and what the merge has to know."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from pipeline.core import paths
from pipeline.core.errors import ExpectedError
from pipeline.core.files import atomic_folder, read_json, sha256, sha256_of_list, write_json
from pipeline.core.paths import StudyPaths
from pipeline.core.wording import counted, listed
from pipeline.data.contract import Accepted, Contract
from pipeline.data.source import Source
from pipeline.data.standard_copy import standard_copy
from pipeline.params.reading import read_yaml

COPY, KNOWN, FOUND = "cells.h5ad", "part.json", "files.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Part:
    """A file that fulfils the contract by itself."""

    folder: Path  # with its standard copy
    file: str  # name of the lab's file
    sha256: str
    cells: int
    notes: list[str]

    @property
    def stem(self) -> str:
        """Of the file's name; unique among parts."""
        return PurePath(self.file).stem

    @property
    def copy(self) -> Path:
        """The standard copy, its genes in the order of their names."""
        return self.folder / COPY


def write_part(contract: Contract, source: Source, at: StudyPaths) -> Accepted:
    """Check one of several files and write data/inputs/<system>/<study>/<file>; nothing on error.

    The rules over covariates are for all files together: a perturbation may have its controls in another file.
    """
    with atomic_folder(at.part) as folder:
        accepted = standard_copy(replace(contract, rules=()), source, folder / COPY, genes_by_name=True)
        part = Part(at.part, source.path.name, sha256(source.path), accepted.cells, accepted.notes)
        known = {name: value for name, value in asdict(part).items() if name != "folder"}
        write_json(folder / KNOWN, {"schema_version": SCHEMA_VERSION, **known})
    return accepted


def planned_files(at: StudyPaths) -> dict[str, Path]:
    """By the name of its stage, each file of a study that plan.yaml lists; none where the study has one file."""
    plan = read_yaml(paths.PLAN)["plan"] if paths.PLAN.is_file() else {}
    every = plan.get("files", {}).values()
    mine = [entry for entry in every if (entry["system"], entry["study"]) == (at.system, at.study)]
    return {Path(entry["copy"]).name: Path(entry["source"]) for entry in mine}


def read_parts(at: StudyPaths) -> list[Part]:
    """The parts of a study in the order of the files' names; none where it has one file.

    ExpectedError where one is missing, or the folder, on which the merge depends, holds something else.
    """
    names = list(planned_files(at))
    if not names:
        return []
    others = sorted({path.name for path in at.parts.glob("[!.]*")} - {*names, FOUND})
    if others:
        raise ExpectedError(
            f"{at.parts} holds {listed(others, 5)}, of which plan.yaml does not know: run `python -m pipeline plan`, "
            "which removes what is left of files that a study no longer has, and then the same command again"
        )
    return [_read_part(replace(at, file=name)) for name in names]


def _read_part(at: StudyPaths) -> Part:
    path = at.part / KNOWN
    stage = f"ingest_file@{at.system}-{at.instance}"
    try:
        known: dict[str, Any] = read_json(path)
    except FileNotFoundError as error:
        raise ExpectedError(f"{path} not found: run dvc repro {stage}") from error
    except ValueError as error:
        raise ExpectedError(f"{path} is damaged: {error}; make it again with: dvc repro --force {stage}") from error
    if known.pop("schema_version", None) != SCHEMA_VERSION:
        raise ExpectedError(f"{path} is of another version: make it again with: dvc repro --force {stage}")
    return Part(at.part, **known)


def folder_notes(at: StudyPaths) -> list[str]:
    """What `list_files` noted of a folder; nothing of a list of files."""
    path = at.parts / FOUND
    return list(read_json(path)["notes"]) if path.is_file() else []


def name_of(path: str | Sequence[str], parts: Sequence[Part]) -> str:
    """All files for people; path: as params.yaml has it."""
    folder = path if isinstance(path, str) else path[0] if len(path) == 1 else None
    return ", ".join([*([Path(folder).name] if folder else []), counted(len(parts), "file")])


def described(path: Path, accepted: Accepted) -> str:
    """A file for people: its size, and notes."""
    return "\n".join([f"{path.name}: {accepted.size}", *(f"note: {note}" for note in accepted.notes)])


def sha256_of(parts: Sequence[Part]) -> str:
    """Of the names and contents of all files."""
    return sha256_of_list((part.sha256, part.file) for part in parts)
