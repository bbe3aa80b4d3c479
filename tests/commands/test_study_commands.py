"""`new`, `add`, `plan` and `run`: a study from data to a stage that accepts it, and nothing half-written."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline import cli
from pipeline.cfm_vc.stages import ingest
from pipeline.commands.params_file import Written, with_studies, written_studies
from pipeline.commands.run import select
from pipeline.commands.study_text import flow, study_text
from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.params.draft import Decision
from pipeline.params.reading import parse_yaml
from pipeline.plan import make_plan, read_plan
from pipeline.registry import load_params

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the commands need of a project, without git and with the default studies."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("params.yaml", "plan.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "data/embedded", folder / "data/embedded")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def call(project: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command and gives what it says; on another code than 0, params.yaml and plan.yaml are as they were."""

    def run(*words: str, code: int = 0) -> str:
        before = [(project / name).read_bytes() for name in ("params.yaml", "plan.yaml")]
        with pytest.raises(SystemExit) as ended:
            cli.main(list(words))
        said = capsys.readouterr()
        assert ended.value.code == code, said.err
        if code:
            assert [(project / name).read_bytes() for name in ("params.yaml", "plan.yaml")] == before
        return said.out + said.err

    return run


def write_cells(path: Path, obs: dict[str, Any], spatial: bool = False, **layers: Any) -> Path:
    """Counts of as many cells as the columns have."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(obs)
    frame.index = pd.Index([f"cell{n}" for n in range(len(frame))])
    counts = random.poisson(3.0, (len(frame), 30)).astype(np.float32)
    obsm = {"spatial": random.uniform(0, 100, (len(frame), 2))} if spatial else {}
    cells = anndata.AnnData(counts, frame, pd.DataFrame(index=[f"gene{g}" for g in range(30)]), obsm=obsm)
    for name, change in layers.items():
        cells.layers[name] = counts.copy() if change is None else counts
    path.parent.mkdir(parents=True, exist_ok=True)
    cells.write_h5ad(path)
    return path


def perturbed(cells: int = 240, **more: Any) -> dict[str, Any]:
    """Every sample is one donor under one condition, named so."""
    number = np.arange(cells)
    condition, donor = np.array(["ctrl", "stim"])[number % 2], number // 2 % 2 + 1
    types = np.array(["B cells", "T cells", "Monocytes"])[number // 4 % 3]
    samples = [f"{d}{c}" for d, c in zip(donor, condition, strict=True)]
    return {"condition": condition, "cluster": types, "sample_id": samples, **more}


def study_of(system: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Path("params.yaml").read_text())[system]["studies"][name]
    return found


# From a file to a stage.


def test_a_study_of_perturbed_cells_is_one_that_ingest_accepts(project: Path, call: Callable[..., str]) -> None:
    write_cells(project / "cells.h5ad", perturbed())
    before = (project / "params.yaml").read_text().splitlines()
    said = call("new", "cells.h5ad")
    assert "cfm_vc.studies.cells" in said
    assert "dvc add cells.h5ad" in said
    assert "run cells" in said
    study = study_of("cfm_vc", "cells")
    assert study["ingest"] == {
        "path": "cells.h5ad",
        "counts": "X",
        "columns": {
            "perturbation": "condition",
            "cell_type": "cluster",
            "batch": {"column": "sample_id", "pattern": r"^(\d+)"},
        },
        "control": "ctrl",
    }
    assert study["held_out"] == "each cell_type"
    assert study["preprocess"]["highly_variable_genes"] == 30
    after = (project / "params.yaml").read_text().splitlines()
    lines = iter(after)
    assert all(line in lines for line in before), "no line is lost or moved"
    assert {"cells-b_cells-0", "cells-t_cells-0", "cells-monocytes-0"} <= set(read_plan()["cfm_vc"]["runs"])
    ingest.run(load_params().cfm_vc.studies["cells"].ingest, StudyPaths("cfm_vc", "cells"))
    assert (project / "data/raw/cfm_vc/cells/cells.h5ad").is_file()


def test_a_study_of_the_same_name_is_never_overwritten(project: Path, call: Callable[..., str]) -> None:
    write_cells(project / "cells.h5ad", perturbed())
    call("new", "cells.h5ad", "--name", "mine")
    assert "--name mine_2" in call("new", "cells.h5ad", "--name", "mine", code=2)
    assert "a letter first" in call("new", "cells.h5ad", "--name", "2 Mine", code=2)


def test_a_dry_run_writes_nothing_and_shows_the_study(project: Path, call: Callable[..., str]) -> None:
    write_cells(project / "cells.h5ad", perturbed())
    before = (project / "params.yaml").read_bytes()
    assert "perturbation: condition" in call("--quiet", "new", "cells.h5ad", "--dry-run")
    assert (project / "params.yaml").read_bytes() == before


def test_what_is_given_goes_before_what_is_found(project: Path, call: Callable[..., str]) -> None:
    write_cells(project / "cells.h5ad", perturbed(other=["x"] * 240))
    given = ["-S", "cfm_vc.vae.epochs=3", "--set", "held_out=[]", "-S", "ingest.columns.batch=other"]
    call("new", "cells.h5ad", *given)
    study = study_of("cfm_vc", "cells")
    assert (study["vae"], study["held_out"]) == ({"epochs": 3}, [])
    assert study["ingest"]["columns"]["batch"] == "other"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["-S", "vae.epohcs=3"], "epohcs: unknown key; did you mean 'epochs'?"),
        (["-S", "ingest.columns.batch=sampel_id"], "perhaps 'sample_id'"),
        (["-S", "ingest.control=crtl"], "perhaps 'ctrl'"),
        (["-S", "ingest.control"], "expected KEY=VALUE"),
        (["--system", "cfmvc"], "did you mean 'cfm_vc'?"),
        (["--name", "cells", "-S", "ingest.columns.perturbation.pattern=(x)"], "give all of it as one mapping"),
    ],
)
def test_a_wrong_setting_is_one_message(
    project: Path, call: Callable[..., str], given: list[str], message: str
) -> None:
    write_cells(project / "cells.h5ad", perturbed())
    assert message in call("new", "cells.h5ad", *given, code=2)


def test_all_that_is_not_clear_is_asked_at_once(project: Path, call: Callable[..., str]) -> None:
    number = np.arange(120)
    drug = np.array(["DMSO", "untreated", "A"])[number % 3]
    write_cells(
        project / "cells.h5ad", {"drug": drug, "well": number % 4, "kind": np.array(["p", "q"])[number // 2 % 2]}
    )
    said = call("new", "cells.h5ad", code=2)
    assert "ingest.control: several labels read like a control" in said
    assert "ingest.columns.cell_type: no column reads like cell types" in said
    command = said.strip().splitlines()[-1]
    assert "--set ingest.control=DMSO" in command
    assert "new cells.h5ad --system cfm_vc" in command
    call("new", "cells.h5ad", "--set", "ingest.control=untreated", "--set", "ingest.columns.cell_type=kind")
    assert study_of("cfm_vc", "cells")["ingest"]["control"] == "untreated"


def test_cells_of_no_known_kind_and_files_of_another_are_refused(project: Path, call: Callable[..., str]) -> None:
    write_cells(project / "cells.h5ad", {"day": np.arange(40) % 2})
    said = call("new", "cells.h5ad", code=2)
    assert "day: 2 labels: 0, 1" in said
    assert "--set ingest.columns.perturbation=COLUMN" in said
    (project / "notes.md").write_text("words")
    assert "expected cells (.h5ad" in call("new", "notes.md", code=2)
    assert "not found" in call("new", "nix.h5ad", code=2)
    assert "command add" in call("new", "data/embedded/series.yaml", code=2)


def test_cells_without_counts_are_refused(project: Path, call: Callable[..., str]) -> None:
    path = write_cells(project / "cells.h5ad", perturbed())
    cells = anndata.read_h5ad(path)
    cells.X = np.log1p(cells.X)
    cells.write_h5ad(path)
    assert "no raw counts" in call("new", "cells.h5ad", code=2)
    cells.layers["counts"] = np.rint(np.expm1(cells.X))
    cells.write_h5ad(path)
    call("new", "cells.h5ad")
    assert study_of("cfm_vc", "cells")["ingest"]["counts"] == "layers/counts"


def test_where_there_is_no_project_it_says_what_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        cli.main(["new", "cells.h5ad"])
    assert "a project is a clone of Celldag" in capsys.readouterr().err


# The file of parameters.

STUDY = Written("cfm_vc", "b", "# of b\nb:\n  held_out: []  # none\n")


@pytest.mark.parametrize(
    "before",
    [
        "cfm_vc:\n  studies:\n    a: {held_out: []}  # one\n    # of all\n\n  vae: {epochs: 3}\n",
        "cfm_vc:\n    studies:\n        a:\n            held_out: []\n            # the last of a\nmole: {}\n",
        "cfm_vc:\n  studies: {}  # none yet\n  vae:\n    epochs: 3\n",
        "cfm_vc:\n  vae:\n    epochs: 3\n",
        "cfm_vc:\n  studies:\n    a:\n      title: |\n        one\n        two\n  vae: {}\n",
        "mole:\n  studies:\n    a: {}\n",
    ],
)
def test_only_lines_are_added(before: str) -> None:
    after = with_studies(before, [STUDY])
    content = parse_yaml(after, "")
    assert content["cfm_vc"]["studies"].pop("b") == {"held_out": []}
    left = parse_yaml(before, "")
    assert {**content.get("cfm_vc", {}), "studies": content["cfm_vc"]["studies"]} == {
        **left.get("cfm_vc", {}),
        "studies": left.get("cfm_vc", {}).get("studies") or {},
    }
    assert "# of b" in after
    lines = iter(line.replace("{}", "").rstrip() for line in after.splitlines())
    assert all(line.replace("{}", "").rstrip() in lines for line in before.splitlines())


def test_a_file_that_is_written_otherwise_is_left_to_the_user() -> None:
    with pytest.raises(ExpectedError, match="written in braces"):
        with_studies("cfm_vc: {studies: {a: {held_out: []}}}\n", [STUDY])
    with pytest.raises(ExpectedError, match=r"has a study cfm_vc.studies.b already"):
        with_studies(with_studies("cfm_vc:\n  vae: {epochs: 1}\n", [STUDY]), [STUDY])


def test_studies_keep_their_comments_and_settings_of_all_are_refused() -> None:
    text = (
        "# of the file\n\ncfm_vc:\n  studies:\n    # of a\n    a:\n      seeds: [0]  # few\n      # last\n    b: {}\n"
    )
    a, b = written_studies(text, "file")
    assert a.text == "# of a\na:\n  seeds: [0]  # few\n  # last\n"
    assert b.text == "b: {}\n"
    (c,) = written_studies("cfm_vc: {studies: {c: {seeds: [0]}}}", "file")
    assert parse_yaml(c.text, "") == {"c": {"seeds": [0]}}
    with pytest.raises(ExpectedError, match=r"cfm_vc.vae would be a setting of all studies"):
        list(written_studies("cfm_vc: {vae: {}}", "file"))
    with pytest.raises(ExpectedError, match="'vcm' is no system"):
        list(written_studies("vcm: {studies: {}}", "file"))


@pytest.mark.parametrize(
    "value", ["1e3", "a: b", "null", 3, 1e-4, [1, "é"], {"a": "x#y"}, "#", "", "yes", "\\d+$", "a\tb"]
)
def test_a_value_reads_as_what_it_is(value: Any) -> None:
    assert parse_yaml(f"key: {flow(value)}", "") == {"key": value}


def test_a_study_reads_as_its_settings_whatever_the_reasons_are() -> None:
    settings = {"ingest": {"path": "a b", "columns": {"x": "1e3"}}, "held_out": {"t": [{"cell_type": "x" * 80}]}}
    decisions = [
        Decision("ingest.path", "a b", "one\nline: " + "long " * 60),
        Decision("ingest.columns.x", "1e3", "# why"),
        Decision("held_out", {}, "of a mapping"),
    ]
    text = study_text("a", "about\nit", settings, decisions)
    assert parse_yaml(text, "") == {"a": settings}
    assert max(map(len, text.splitlines())) <= 116


# The other commands.


def test_add_takes_the_studies_of_a_file_once(project: Path, call: Callable[..., str]) -> None:
    write_cells(project / "cells.h5ad", perturbed())
    call("new", "cells.h5ad")
    _, written = written_studies(Path("params.yaml").read_text().partition("\n  preprocess:")[0], "")
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    indented = "\n".join(f"    {line}" for line in written.text.splitlines())
    Path("more.yaml").write_text(f"cfm_vc:\n  studies:\n{indented}\n")
    assert "added cfm_vc.studies.cells" in call("add", "more.yaml")
    assert "    # cells.h5ad: 240 cells x 30 genes" in Path("params.yaml").read_text()
    assert "there already: cfm_vc.studies.cells" in call("add", "more.yaml")
    Path("more.yaml").write_text(Path("more.yaml").read_text().replace("seeds: [0]", "seeds: [1]"))
    assert "has other studies of these names" in call("add", "more.yaml", code=2)


def test_the_studies_of_the_benchmarks_are_valid(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but where their data are."""
    text = Path("params.yaml").read_text()
    studies = list(written_studies((ROOT / "benchmarks/studies.yaml").read_text(), "studies"))
    assert len(studies) == 11
    Path("params.yaml").write_text(with_studies(text, studies))
    assert {"kang"} <= set(load_params().cfm_vc.studies)


def test_plan_says_what_changed(project: Path, call: Callable[..., str]) -> None:
    make_plan()
    assert "fits params.yaml already" in call("plan")
    Path("params.yaml").write_text(
        Path("params.yaml")
        .read_text()
        .replace("      rmlp: {backbone: rmlp}\n", "")
        .replace("      mole_rmlp: {backbone: rmlp, experts: 4}\n", "")
    )
    assert "mole.points: 2 gone: series-rmlp, series-mole_rmlp" in call("plan")


def test_run_knows_studies_by_name_and_refuses_others(project: Path, call: Callable[..., str]) -> None:
    known = {"cfm_vc-pbmc": ("cfm_vc", "pbmc"), "mole-series": ("mole", "series")}
    assert select(["pbmc", "mole-series", "cfm_vc-pbmc"], known) == [("cfm_vc", "pbmc"), ("mole", "series")]
    assert "did you mean 'tissue'?" in call("run", "tisue", code=2)
    assert "--cores two: expected a whole number" in call("run", "--cores", "two", code=2)


def test_run_names_the_setting_whose_data_are_not_there(project: Path, call: Callable[..., str]) -> None:
    write_cells(project / "kang.h5ad", perturbed())
    call("new", "kang.h5ad", "--name", "kang_2018")
    (project / "kang.h5ad").rename(project / "kangs.h5ad")
    for names in (["kang_2018"], []):
        said = call("run", *names, code=2)
        assert said.startswith(
            "error: cfm_vc.studies.kang_2018.ingest.path: kang.h5ad not found: check the path (perhaps "
        )
    assert "did you mean 'kang_2018'?" in call("run", "kang", code=2)


def test_a_label_to_hold_out_is_one_of_the_data(project: Path, call: Callable[..., str]) -> None:
    path = write_cells(project / "kang.h5ad", perturbed())
    labels = anndata.read_h5ad(path).obs
    for name, value in (("cell_type", "B cel"), ("perturbation", "stimm")):
        pair = {"cell_type": str(labels["cluster"].iloc[0]), "perturbation": "stim", name: value}
        said = call(
            "new", "kang.h5ad", "-S", f"held_out=[{yaml.safe_dump(pair, default_flow_style=True).strip()}]", code=2
        )
        assert f"held_out: no cell has {name} {value}; there are " in said


def test_run_starts_the_engine_with_the_chapters(
    project: Path, call: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr("pipeline.commands.run._call", called.append)
    assert "open reports/pages/cfm_vc-pbmc.html" in call("run", "pbmc", "--cores", "2")
    assert called == [["snakemake", "--cores", "2", "--", ".stamps/chapter@cfm_vc-pbmc"]]
