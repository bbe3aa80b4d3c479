"""The gate before every stage: what is wrong in any section of params.yaml is refused, and the code is noted."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core import paths
from pipeline.core.errors import ExpectedError
from pipeline.stages.code import run
from workflow.manifests import FOLDER, manifest_path

PARAMS = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8"))


def first_values(content: Any = PARAMS, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The address of one value in each mapping of params.yaml, at any depth."""
    values = [key for key, value in content.items() if not isinstance(value, dict)]
    yield from ((*above, key) for key in values[:1])
    for key, value in content.items():
        if isinstance(value, dict):
            yield from first_values(value, (*above, key))


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pipeline/stages").mkdir(parents=True)
    Path("pipeline/stages/fit.py").write_text("def run():\n    return 1\n")


def test_every_section_has_a_value_to_spoil() -> None:
    assert {address[0] for address in first_values()} == set(PARAMS)


@pytest.mark.parametrize("address", list(first_values()), ids=".".join)
def test_a_wrong_value_is_refused_and_nothing_is_written(address: tuple[str, ...]) -> None:
    params = yaml.safe_load(yaml.safe_dump(PARAMS))
    place = params
    for key in address[:-1]:
        place = place[key]
    place[address[-1]] = {"no such": "thing"}
    paths.PARAMS.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    named = re.escape(".".join(address))
    with pytest.raises(ExpectedError, match=rf"params\.yaml has \d+ problem\(s\):\n  {named}\b"):
        run()
    assert not FOLDER.exists()


def write_params(params: Any) -> None:
    paths.PARAMS.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def planned(params: Any) -> None:
    """As an engine runs it: again where the plan did not fit."""
    write_params(params)
    with contextlib.suppress(ExpectedError):
        run()
    run()


def with_study(name: str, **settings: Any) -> dict[str, Any]:
    """Another study of series beside that of params.yaml."""
    studies = PARAMS["mole"]["studies"] | {name: {"ingest": {"path": "other.csv"}, **settings}}
    return {**PARAMS, "mole": PARAMS["mole"] | {"studies": studies}}


def settings() -> dict[str, bytes]:
    return {str(path.relative_to(paths.SETTINGS)): path.read_bytes() for path in paths.SETTINGS.rglob("*.json")}


def test_what_is_written_is_the_same_for_all_valid_values() -> None:
    written = []
    for seed in (1, 2):
        planned(PARAMS | {"report": {"title": f"A report {seed}"}})
        written.append((manifest_path("fit").read_bytes(), paths.PLAN.read_bytes(), settings()))
    assert written[0] == written[1]


def test_a_plan_that_no_longer_fits_is_rewritten_and_the_run_refused_once() -> None:
    """DVC has read the plan before, and would run the stages of the old one."""
    write_params(PARAMS)
    for params, names in ((PARAMS, ["series"]), (with_study("second"), ["series", "second"]), (PARAMS, ["series"])):
        write_params(params)
        before = settings()
        with pytest.raises(ExpectedError, match=r"plan\.yaml no longer matched .* so run the same command again"):
            run()
        assert settings() == before
        run()
        plan = yaml.safe_load(paths.PLAN.read_text())["plan"]
        assert [entry["study"] for entry in plan["studies"].values() if entry["system"] == "mole"] == names
        assert sorted(settings()) == sorted(
            f"{entry['system']}/{entry['study']}.json" for entry in plan["studies"].values()
        )
    assert paths.PLAN.read_bytes() == (Path(__file__).parents[2] / "plan.yaml").read_bytes()


def test_a_study_changes_its_own_settings_and_no_others() -> None:
    planned(with_study("second"))
    before = settings()
    planned(with_study("second", seeds=[5], sweep={"recipe": {"epochs": 3}}))
    changed = {name for name, content in settings().items() if content != before[name]}
    assert changed == {"mole/second.json"}
    found = json.loads(settings()["mole/second.json"])["sweep"]["recipe"]
    shared = PARAMS["mole"]["sweep"]["recipe"]
    assert (found["epochs"], found["seeds"], found["lookback"]) == (3, [5], shared["lookback"])


def test_only_cells_of_which_nothing_is_held_out_are_not_judged() -> None:
    """Of tissue without test sections, blocks of every section are held out."""
    cells = PARAMS["cfm_vc"] | {"studies": {"pbmc": PARAMS["cfm_vc"]["studies"]["pbmc"] | {"held_out": []}}}
    tissue = PARAMS["alphastomics"]["studies"]["tissue"] | {"held_out": []}
    planned(PARAMS | {"cfm_vc": cells, "alphastomics": PARAMS["alphastomics"] | {"studies": {"tissue": tissue}}})
    plan = yaml.safe_load(paths.PLAN.read_text())["plan"]
    assert "alphastomics-tissue" in plan["evaluated"]
    assert set(plan["studies"]) - set(plan["evaluated"]) == {"cfm_vc-pbmc"}
    assert list(plan["runs"]) == ["alphastomics-tissue-blocks_0-0"]
    assert list(plan["folds"]) == ["cfm_vc-pbmc-all_cells", "alphastomics-tissue-blocks_0"]
    chapters = {name: json.loads(content)["chapter"]["evaluated"] for name, content in settings().items()}
    assert [name for name, evaluated in chapters.items() if not evaluated] == ["cfm_vc/pbmc.json"]


def test_threads_alone_ask_for_no_second_run() -> None:
    """They are Snakemake's to know; which stages there are stays the same."""
    planned(PARAMS)
    mole = PARAMS["mole"] | {
        "sweep": PARAMS["mole"]["sweep"] | {"recipe": PARAMS["mole"]["sweep"]["recipe"] | {"threads": 3}}
    }
    write_params(PARAMS | {"mole": mole})
    run()
    assert yaml.safe_load(paths.PLAN.read_text())["plan"]["mole"]["points"]["series-rmlp"]["threads"] == 3


def with_files(path: str | list[str]) -> dict[str, Any]:
    studies = {"pbmc": PARAMS["cfm_vc"]["studies"]["pbmc"], "lab": {"ingest": {"path": path}, "held_out": []}}
    return {**PARAMS, "cfm_vc": PARAMS["cfm_vc"] | {"studies": studies}}


def test_a_file_more_is_a_stage_more_and_changes_nothing_that_those_of_other_files_read() -> None:
    Path("lab").mkdir()
    for name in ("b", "c"):
        Path(f"lab/{name}.h5ad").write_text(name)
    planned(with_files(["lab/c.h5ad", "lab/b.h5ad"]))
    first, before = settings()["cfm_vc/lab.json"], yaml.safe_load(paths.PLAN.read_text())["plan"]
    entry = {"system": "cfm_vc", "study": "lab"}
    assert before["files"] == {
        f"cfm_vc-lab-{name}": {**entry, "source": f"lab/{name}.h5ad", "copy": f"data/inputs/cfm_vc/lab/{name}"}
        for name in ("b", "c")
    }
    assert before["folders"] == {}
    assert before["folds"]["cfm_vc-lab-all_cells"]["counts"] == before["studies"]["cfm_vc-lab"]["source"]
    assert before["folds"]["cfm_vc-pbmc-held_out"]["counts"] == "data/raw/cfm_vc/pbmc/cells.h5ad"
    planned(with_files(["lab/b.h5ad", "lab/c.h5ad"]))
    assert settings()["cfm_vc/lab.json"] == first, "the order of a list means nothing"

    Path("lab/a.h5ad").write_text("a")
    write_params(with_files("lab"))
    with pytest.raises(ExpectedError, match=r"plan\.yaml no longer matched .* or data of params\.yaml"):
        run()
    run()
    plan = yaml.safe_load(paths.PLAN.read_text())["plan"]
    assert list(plan["files"]) == ["cfm_vc-lab-a", *before["files"]]
    assert {key: plan["files"][key] for key in before["files"]} == before["files"]
    assert plan["folders"] == {"cfm_vc-lab": {**entry, "source": "lab"}}
    now, then = json.loads(settings()["cfm_vc/lab.json"]), json.loads(first)
    assert now["ingest_file"] == then["ingest_file"]
    assert (now["ingest"]["path"], then["ingest"]["path"]) == ("lab", ["lab/b.h5ad", "lab/c.h5ad"])

    for name in ("a", "b", "left_over"):
        (paths.INPUTS / "cfm_vc/lab" / name).mkdir(parents=True)
    (paths.INPUTS / "cfm_vc/lab/files.json").write_text("{}")
    (paths.INPUTS / "cfm_vc/pbmc").mkdir()
    (paths.INPUTS / "cfm_vc/pbmc/0.json").write_text("of an older version")
    Path("lab/a.h5ad").unlink()
    planned(with_files("lab"))
    kept = {"cfm_vc/lab/b", "cfm_vc/lab/files.json"}
    assert {path.relative_to(paths.INPUTS).as_posix() for path in paths.INPUTS.glob("*/*/*")} == kept
    (Path("lab") / "b.h5ad").unlink()
    planned(with_files("lab"))
    plan = yaml.safe_load(paths.PLAN.read_text())["plan"]
    assert (plan["files"], plan["folders"]) == ({}, {}), "one file is ingest's own"
    assert plan["studies"]["cfm_vc-lab"]["source"] == "lab"
    Path("lab").rename("moved")
    with pytest.raises(ExpectedError, match=r"cfm_vc\.studies\.lab\.ingest\.path: lab not found"):
        run()
