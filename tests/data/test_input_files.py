"""One file, a folder of files or a list of them: what is read, under which name, and what is refused."""

import hashlib
import re
from pathlib import Path

import pytest

from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256
from pipeline.data.input_files import InputFiles, input_files, separate_files


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


def test_a_list_is_in_the_order_of_names_however_it_is_given() -> None:
    names = ["slices/right.h5ad", "store.zarr", "cells.h5ad"]
    inputs = found(names)
    assert [str(file) for file in inputs.files] == ["cells.h5ad", "slices/right.h5ad", "store.zarr"]
    assert inputs == found(names[::-1])
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
            "path names slices/left.H5AD and b/left.h5ad: give one of them another name",
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


def separate(path: str | list[str]) -> dict[str, str]:
    return {name: str(file) for name, file in separate_files(path, "cfm_vc.ingest.path").items()}


def test_one_file_has_no_stage_of_its_own_beside_ingest() -> None:
    for path in ("cells.h5ad", ["cells.h5ad"], "recipe.yaml", "store.zarr", "b", ["b"], "later.h5ad"):
        assert separate(path) == {}


def test_each_of_several_files_has_a_name_that_is_its_own_whatever_the_others_are() -> None:
    every = {"left": "slices/left.H5AD", "right": "slices/right.h5ad", "third": "slices/third.zarr"}
    assert separate("slices") == separate(["slices"]) == separate([*every.values()][::-1]) == every
    odd = ["donor 1", "donor_1", "a.b", "Größe", "${x}", "-", "12E3", "x" * 90]
    for stem in odd:
        Path("slices", f"{stem}.h5ad").write_text(stem)
    named = separate("slices")
    assert {name: named[name] for name in every} == every
    name_of = {Path(file).stem: name for name, file in named.items()}
    assert (name_of["donor_1"], name_of["12E3"], name_of["a.b"]) == ("donor_1", "12E3", "a_b_2e7336dc")
    assert len(named) == len(odd) + 3
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,68}", name) for name in named)
    assert name_of["donor 1"].startswith("donor_1_")
    Path("slices/donor_1.h5ad").unlink()
    assert separate("slices") == {name: file for name, file in named.items() if name != "donor_1"}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("slice", r"^cfm_vc\.ingest\.path: slice not found: check the path \(perhaps slices\)"),
        (["slice"], r"^cfm_vc\.ingest\.path: slice not found"),
        (["cells.h5ad", "cell.h5ad"], r"^cfm_vc\.ingest\.path: cell\.h5ad not found: check the path \(perhaps cells"),
        (["cells.h5ad", "slices/cells.H5AD"], "names slices/cells.H5AD and cells.h5ad: give one of them another name"),
    ],
)
def test_what_is_missing_or_of_one_name_is_refused_when_the_plan_is_made(path: str | list[str], words: str) -> None:
    with pytest.raises(ExpectedError, match=words):
        separate(path)
