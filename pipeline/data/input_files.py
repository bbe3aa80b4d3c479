"""The files of cells that a study's `path` names: one, or those of a folder."""

from pathlib import Path

from pipeline.core.errors import ExpectedError
from pipeline.data.file_kind import file_kind


def input_files(path: str) -> list[Path]:
    """In the order they are read. ExpectedError where a folder holds none, or two of one name."""
    if file_kind(Path(path)) != "folder":
        return [Path(path)]
    found = [file for file in sorted(Path(path).iterdir()) if _is_cells(file) and not file.name.startswith(".")]
    name_of: dict[str, str] = {}
    for file in found:
        other = name_of.setdefault(file.stem, file.name)
        if other != file.name:
            raise ExpectedError(f"{path} holds {other} and {file.name}: give one of them another name")
    if not found:
        raise ExpectedError(f"{path} holds no .h5ad file and no zarr store: expected one or more")
    return found


def _is_cells(file: Path) -> bool:
    return file.suffix.lower() in (".h5ad", ".zarr")
