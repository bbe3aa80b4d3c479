"""The files that a path of params.yaml names: one file or zarr store, a folder of them, or a list of their paths."""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256, sha256_of_list
from pipeline.core.wording import counted, listed
from pipeline.data.file_kind import file_kind, is_recipe
from pipeline.params.section import in_order


@dataclass(frozen=True)
class InputFiles:
    """Made by `input_files`."""

    given: list[Path]  # as params.yaml names them
    files: list[Path]  # at least one; stems differ
    name: str  # for people
    notes: list[str] = field(default_factory=list)

    @property
    def recipe(self) -> Path | None:
        """The recipe of simulated cells, where it is one."""
        return self.files[0] if len(self.files) == 1 and is_recipe(self.files[0]) else None

    def sha256(self) -> str:
        """Of the one file, or of the names and contents of all files that are read."""
        if self.files == self.given and len(self.files) == 1:
            return sha256(self.files[0])
        return sha256_of_list((sha256(file), file.name) for file in self.files)


def input_files(path: str | Sequence[str], setting: str) -> InputFiles:
    """The files at the path, or paths, of this setting.

    They come in the order of their names. ExpectedError where there are none, or where two have one name, by which
    their cells are told apart. Of a list, the files are not looked at yet.
    """
    if not isinstance(path, str) and len(path) > 1:
        files = [Path(one) for one in in_order(path)]
        _refuse_same_names(files, f"{setting} names", [str(file) for file in files])
        return InputFiles(files, files, counted(len(files), "file"))
    given = Path(path if isinstance(path, str) else path[0])
    if file_kind(given) != "folder":  # also before a recipe is read: a pipe would be waited for
        return InputFiles([given], [given], given.name)
    files = sorted(file for file in given.iterdir() if is_cells(file) and not file.name.startswith("."))
    if not files:
        raise ExpectedError(f"{given} holds no .h5ad file and no zarr store: expected one or more of them")
    _refuse_same_names(files, f"{given} holds", [file.name for file in files])
    return InputFiles([given], files, f"{given.name}, {counted(len(files), 'file')}", _passed_over(given, files))


def separate_files(path: str | Sequence[str], setting: str) -> dict[str, Path]:
    """The files of a study that has several, in the order of their names, by the name of the stage that ingests each;
    none where it has one.

    A stage's name depends on the file's alone, so that a file more or less leaves the others as they are. ExpectedError
    where a file or the folder is missing, or as of `input_files`.
    """
    if isinstance(path, str) or len(path) == 1:
        one = Path(path if isinstance(path, str) else path[0])
        if not (one.suffix or one.exists()):  # a folder, to judge by its name; a missing file is its ingest's to tell
            _refuse_missing(one, setting)
        if not one.is_dir():
            return {}
    files = input_files(path, setting).files
    for file in files:
        if not file.exists():
            _refuse_missing(file, setting)
    named: dict[str, Path] = {}
    for file in files if len(files) > 1 else ():
        name = _stage_name(file.stem)
        if name in named:
            raise ExpectedError(
                f"{setting}: {named[name]} and {file} would be ingested under one name: rename one of them"
            )
        named[name] = file
    return named


def _refuse_missing(path: Path, setting: str) -> None:
    try:
        file_kind(path)
    except ExpectedError as error:
        raise ExpectedError(f"{setting}: {error}") from error


def _stage_name(stem: str) -> str:
    """A file's stem, or what a stage and a folder can have of it as a name, with a hash that tells it from others."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-")[:60]
    return stem if stem == plain else f"{plain or 'file'}_{hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]}"


def _refuse_same_names(files: Sequence[Path], where: str, names: Sequence[str]) -> None:
    name_of: dict[str, str] = {}
    for number, (file, name) in enumerate(zip(files, names, strict=True)):
        other = name_of.setdefault(file.stem, name)
        if other != name:
            raise ExpectedError(f"{where} {other} and {name}: give one of them another name")
        if name in names[:number]:
            raise ExpectedError(f"{where} {name} twice: leave one out")


def is_cells(file: Path) -> bool:
    """Whether the name is that of a file or store of cells."""
    return file.suffix.lower() in (".h5ad", ".zarr")


def _passed_over(folder: Path, files: Sequence[Path]) -> list[str]:
    """A note on what lies beside the files and is not read; what is hidden only where it has the name of one."""
    others = [file for file in sorted(folder.iterdir()) if file not in files]
    names = [file.name for file in others if is_cells(file) or not file.name.startswith(".")]
    return [f"{len(names):,} of {folder.name} passed over: {listed(names, 5)}"] if names else []
