"""`python -m pipeline sample` from file to file: the same as the Python API; what cannot be done is refused in one
message, and nothing is written."""

import shutil
from pathlib import Path

import anndata
import numpy as np
import pytest

from pipeline import cli
from pipeline.alphastomics.trained import Tissue
from pipeline.core.files import sha256

ASKED = ["--data", "cells.h5ad", "--steps", "10", "--num-samples", "2"]

MODEL = "models/alphastomics/tissue/held_out/seed_0"


@pytest.fixture
def work(tissue_project, tmp_path, monkeypatch):
    """A folder with a small trained model and 60 cells of each of two sections; section_4 was not trained on."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tissue_project / "models", "models")
    every = anndata.read_h5ad(tissue_project / "data/raw/alphastomics/tissue/cells.h5ad")
    rows = np.r_[500:560, 1500:1560]
    every[rows].copy().write_h5ad("cells.h5ad")
    return tmp_path


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["sample", *arguments])
    return int(ended.value.code or 0)


def same(one, two):
    assert list(one.obs_names) == list(two.obs_names)
    assert list(one.var_names) == list(two.var_names)
    assert sorted(one.obs) == sorted(two.obs)
    for part in ("obsm", "layers"):
        found, expected = getattr(one, part), getattr(two, part)
        assert sorted(found) == sorted(expected)
        for key in expected:
            np.testing.assert_array_equal(found[key], expected[key])
    assert list(one.uns["celldag"]["notes"]) == list(two.uns["celldag"]["notes"])


@pytest.mark.parametrize(
    ("mode", "places"),
    [
        ("expr_to_pos", ["obsm/spatial", "obsm/spatial_draws"]),
        ("pos_to_expr", ["layers/expression", "layers/expression_draw", "layers/expression_spread"]),
        ("joint", ["obsm/spatial", "layers/expression"]),
    ],
)
def test_the_file_holds_what_the_python_api_returns(work, mode, places):
    told = ["--section-column", "section", "--cell-type-column", "cell_type", "--seed", "3"]
    assert call("--mode", mode, *ASKED, *told, "--out", "out.h5ad") == 0
    written = anndata.read_h5ad("out.h5ad")
    cells = anndata.read_h5ad("cells.h5ad")
    options = {"section_column": "section", "cell_type_column": "cell_type", "seed": 3, "draws": 2, "steps": 10}
    same(written, Tissue.load().sample(cells, mode, **options))
    assert sorted(f"{part}/{key}" for part in ("obsm", "layers") for key in getattr(written, part)) == sorted(places)
    origin = written.uns["celldag"]
    assert origin["input_sha256"] == sha256(Path("cells.h5ad"))
    assert origin["model_sha256"] == sha256(Path("models/alphastomics/tissue/held_out/seed_0/weights.safetensors"))
    assert origin["arguments"]["mode"] == mode


def test_options_reach_the_model(work):
    options = ["--sampler", "ddpm", "--guidance", "2", "--neighbourhood", "50", "--cell-type", "microglia"]
    assert call("--mode", "expr_to_pos", *ASKED, *options, "--model", MODEL, "--out", "out.h5ad") == 0
    cells = anndata.read_h5ad("cells.h5ad")
    expected = Tissue.load().sample(
        cells, "expr_to_pos", draws=2, steps=10, sampler="ddpm", guidance=2.0, neighbourhood=50, cell_type="microglia"
    )
    same(anndata.read_h5ad("out.h5ad"), expected)
    plain = Tissue.load().sample(cells, "expr_to_pos", draws=2, steps=10)
    assert not np.allclose(plain.obsm["spatial_draws"], expected.obsm["spatial_draws"])


def test_what_was_placed_can_be_told_the_expression_of_though_it_holds_no_counts(work):
    assert call("--mode", "expr_to_pos", *ASKED, "--out", "placed.h5ad") == 0
    again = ["--data", "placed.h5ad", "--steps", "10", "--spatial", "spatial", "--num-samples", "1"]
    assert call("--mode", "pos_to_expr", *again, "--out", "told.h5ad") == 0
    assert anndata.read_h5ad("told.h5ad").layers["expression"].shape == (120, 80)


def test_the_same_call_writes_the_same_bytes_and_says_what_was_done(work, capsys):
    for out in ("one.h5ad", "two.h5ad"):
        assert call("--mode", "expr_to_pos", *ASKED, "--section-column", "section", "--out", out) == 0
    assert Path("one.h5ad").read_bytes() == Path("two.h5ad").read_bytes()
    lines = capsys.readouterr().out.splitlines()[:6]
    assert lines[0] == "positions of cells of known expression: 120 cells, 2 draws"
    assert lines[1] == "genes: 80 of the model's 80 found"
    assert lines[2] == 'cell type treated as "unknown": no label (120 cells)'
    assert lines[3] == "placed where they lay in training: section section_2"
    assert lines[4].startswith("not trained on, so placed around 0, in the unit of the training sections")
    assert lines[5] == "wrote one.h5ad"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--num-samples", "-1"], "--num-samples -1: expected a whole number from 0 to 1,000"),
        (["--steps", "9"], "--steps 9: expected a whole number from 10 to 1,000"),
        (["--steps", "1001"], "--steps 1001: expected a whole number from 10 to 1,000"),
        (["--guidance", "nan"], "--guidance nan: expected a number from 0 to 1,000"),
        (["--guidance", "-1"], "--guidance -1: expected a number from 0 to 1,000"),
        (["--neighbourhood", "1"], "--neighbourhood 1: expected a whole number from 2 to 65,536"),
        (["--seed", "-1"], "--seed -1: expected a whole number from 0 to 4,294,967,295"),
        (["--threads", "0"], "--threads 0: expected a whole number from 1 to 1,024"),
        (["--spatial", "xy"], "--spatial has no effect in mode expr_to_pos"),
        (["--mode", "joint", "--counts", "raw/X"], "--counts has no effect in mode joint"),
        (["--mode", "joint", "--guidance", "2"], "--guidance has no effect in mode joint"),
        (["--out", "cells.h5ad"], "cells.h5ad is the input"),
        (["--out", "there.h5ad"], "there.h5ad exists: name another file, or add --overwrite"),
        (["--sampler", "ddim2"], "invalid choice: 'ddim2'"),
        (["--num-sample-s", "2"], "did you mean --num-samples?"),
        (["--model", "nowhere"], "no usable model in nowhere: config.json is missing"),
        (["--data", "absent.h5ad"], "absent.h5ad not found"),
        (["--data", "text.h5ad"], "text.h5ad is not an HDF5 file"),
        (["--data", "other.h5ad"], "holds 0 of the model's 80 genes"),
        (["--data", "other.h5ad", "--mode", "pos_to_expr"], "no obsm 'spatial'; there are none"),
        (["--data", "twice.h5ad", "--mode", "pos_to_expr"], "1 cell in the place of another cell of the same section"),
        (["--data", "nan.h5ad", "--mode", "pos_to_expr"], "no array of 2 finite coordinates for each of 120 cells"),
        (["--section-column", "slice"], "no column 'slice'"),
        (["--counts", "layers/raw"], "counts in layers/raw: found matrices in X only"),
    ],
)
def test_what_is_wrong_is_one_message_and_nothing_is_written(work, capsys, arguments, expected):
    Path("there.h5ad").write_text("there")
    Path("text.h5ad").write_text("no HDF5")
    cells = anndata.read_h5ad("cells.h5ad")
    anndata.AnnData(cells.X, obs=cells.obs, var=cells.var.set_axis([f"x{g}" for g in range(80)])).write_h5ad(
        "other.h5ad"
    )
    for name, place in (("twice", cells.obsm["spatial"][0]), ("nan", np.nan)):
        spoilt = cells.copy()
        spoilt.obsm["spatial"][5] = place
        spoilt.write_h5ad(f"{name}.h5ad")
    before = {path: path.read_bytes() for path in work.glob("*") if path.is_file()}
    assert call("--mode", "expr_to_pos", "--data", "cells.h5ad", "--out", "out.h5ad", *arguments) == 2
    assert expected in capsys.readouterr().err
    assert {path: path.read_bytes() for path in work.glob("*") if path.is_file()} == before
    assert not list(work.glob(".*partial"))


def test_an_existing_file_is_replaced_on_request(work):
    Path("out.h5ad").write_text("old")
    assert call("--mode", "joint", "--data", "cells.h5ad", "--steps", "10", "--out", "out.h5ad", "--overwrite") == 0
    assert anndata.read_h5ad("out.h5ad").shape == (120, 80)


def test_a_model_that_the_train_command_made(work, tissue_project):
    shutil.copytree(tissue_project / "data/processed", "data/processed")
    for name in ("params.yaml", "plan.yaml"):
        shutil.copy(tissue_project / name, name)
    network = ["-S", "ffn=moe", "-S", "experts=8", "-S", "top_k=2", "-S", "gate=elementwise", "--exp-name", "full"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "alphastomics", *network, "-S", "epochs=2", "-S", "neighbourhoods_per_epoch=2"])
    assert not ended.value.code
    assert call("--mode", "expr_to_pos", *ASKED, "--model", "outputs/full/model", "--out", "out.h5ad") == 0
    parameters = anndata.read_h5ad("out.h5ad").uns["celldag"]["parameters"]
    assert (parameters["ffn"], parameters["experts"], parameters["gate"]) == ("moe", 8, "elementwise")
    assert parameters["neighbourhoods_per_epoch"] == 2
