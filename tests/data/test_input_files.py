"""One file, a folder of files or a list of them: what is read, under which name, and what is refused."""

import hashlib
from pathlib import Path

import pytest

from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256
from pipeline.data.input_files import InputFiles, input_files


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "cells.h5ad",
        "recipe.yaml",
        "slices/right.h5ad",
        "slices/left.H5AD",
        "slices/notes.txt",
        "b/left.h5ad",
    ):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(name)
    for store in ("store.zarr", "slices/third.zarr"):
        Path(store).mkdir()
        Path(store, "zarr.json").write_text("{}")


def found(path: str | list[str]) -> InputFiles:
    return input_files(path, "cfm_vc.ingest.path")


@pytest.mark.parametrize("path", ["cells.h5ad", "store.zarr"])
def test_a_file_or_a_store_is_itself(path: str) -> None:
    for given in (path, [path]):
        inputs = found(given)
        assert (inputs.files, inputs.name, inputs.notes) == ([Path(path)], path, [])
        assert inputs.sha256() == sha256(Path(path))
        assert inputs.recipe is None


def test_a_recipe_is_told_by_its_name() -> None:
    assert found("recipe.yaml").recipe == Path("recipe.yaml")


def test_a_folder_is_what_lies_in_it_in_the_order_of_names() -> None:
    inputs = found("slices")
    assert [file.name for file in inputs.files] == ["left.H5AD", "right.h5ad", "third.zarr"]
    assert (inputs.name, inputs.notes) == ("slices, 3 files", ["1 of slices passed over: notes.txt"])
    assert found(["slices"]) == inputs


def test_a_list_is_in_the_order_in_which_it_is_given() -> None:
    names = ["slices/right.h5ad", "cells.h5ad", "store.zarr"]
    inputs = found(names)
    assert [str(file) for file in inputs.files] == names
    assert (inputs.name, inputs.notes, inputs.recipe) == ("3 files", [], None)


def test_the_checksum_is_of_names_and_contents() -> None:
    inputs = found(["slices/right.h5ad", "cells.h5ad"])
    lines = "".join(f"{sha256(file)}  {file.name}\n" for file in inputs.files)
    assert inputs.sha256() == hashlib.sha256(lines.encode()).hexdigest()
    Path("cells.h5ad").write_text("others")
    assert inputs.sha256() != hashlib.sha256(lines.encode()).hexdigest()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            ["b/left.h5ad", "slices/left.H5AD"],
            "path names b/left.h5ad and slices/left.H5AD: give one of them another name",
        ),
        (["cells.h5ad", "cells.h5ad"], "cfm_vc.ingest.path names cells.h5ad twice: leave one out"),
        ("cell.h5ad", r"cell\.h5ad not found: check the path \(perhaps cells\.h5ad\).*or put the file there"),
        ("empty", "empty holds no .h5ad file and no zarr store: expected one or more"),
    ],
)
def test_what_cannot_be_read_is_refused(path: str | list[str], words: str) -> None:
    Path("empty").mkdir()
    with pytest.raises(ExpectedError, match=words):
        found(path)
