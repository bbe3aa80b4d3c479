"""The files that a path of params.yaml names: one file or zarr store, a folder of them, or a list of their paths."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256
from pipeline.data.file_kind import file_kind, is_recipe
from pipeline.data.source import counted, listed
from pipeline.data.untracked import untracked_advice


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
        lines = "".join(f"{sha256(file)}  {file.name}\n" for file in self.files)
        return hashlib.sha256(lines.encode()).hexdigest()

    def advice(self) -> list[str]:
        """Notes for the terminal on what is not under version control; no result depends on them."""
        return [f"note: {advice}" for path in self.given if (advice := untracked_advice(path)) is not None]


def input_files(path: str | Sequence[str], setting: str) -> InputFiles:
    """The files at the path, or paths, of this setting.

    ExpectedError where there are none, or where two have one name, by which their cells are told apart. Of a list, the
    files are not looked at yet.
    """
    if not isinstance(path, str) and len(path) > 1:
        files = [Path(one) for one in path]
        _refuse_same_names(files, f"{setting} names", [str(file) for file in files])
        return InputFiles(files, files, counted(len(files), "file"))
    given = Path(path if isinstance(path, str) else path[0])
    if file_kind(given) != "folder":  # also before a recipe is read: a pipe would be waited for
        return InputFiles([given], [given], given.name)
    files = sorted(file for file in given.iterdir() if _is_cells(file) and not file.name.startswith("."))
    if not files:
        raise ExpectedError(f"{given} holds no .h5ad file and no zarr store: expected one or more of them")
    _refuse_same_names(files, f"{given} holds", [file.name for file in files])
    return InputFiles([given], files, f"{given.name}, {counted(len(files), 'file')}", _passed_over(given, files))


def _refuse_same_names(files: Sequence[Path], where: str, names: Sequence[str]) -> None:
    name_of: dict[str, str] = {}
    for number, (file, name) in enumerate(zip(files, names, strict=True)):
        other = name_of.setdefault(file.stem, name)
        if other != name:
            raise ExpectedError(f"{where} {other} and {name}: give one of them another name")
        if name in names[:number]:
            raise ExpectedError(f"{where} {name} twice: leave one out")


def _is_cells(file: Path) -> bool:
    return file.suffix.lower() in (".h5ad", ".zarr")


def _passed_over(folder: Path, files: Sequence[Path]) -> list[str]:
    """A note on what lies beside the files and is not read; what is hidden only where it has the name of one."""
    others = [file for file in sorted(folder.iterdir()) if file not in files]
    names = [file.name for file in others if _is_cells(file) or not file.name.startswith(".")]
    return [f"{len(names):,} of {folder.name} passed over: {listed(names, 5)}"] if names else []
