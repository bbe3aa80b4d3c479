"""`python -m pipeline sample`: what is asked reaches the model; what cannot be asked is refused before it is loaded."""

import sys
import types
from pathlib import Path

import pandas as pd
import pytest

from pipeline import cli
from pipeline.commands.sample import TISSUE

CELLS = ["--data", "cells.h5ad", "--out", "out.h5ad"]


class Answer:
    """Of a stand-in."""

    obs = pd.DataFrame(index=["a", "b"])

    def write(self, path):
        path.write_text("written")

    def uns(self):
        return {"celldag": {"notes": ["a note"]}}


@pytest.fixture
def tissue(monkeypatch, tmp_path):
    """A stand-in for the model, which keeps what it was asked."""
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType(TISSUE)
    module.asked = []

    class Tissue:
        @classmethod
        def load(cls, folder, device):
            module.asked.append((folder, device))
            return cls()

        def sample_blocks(self, data, mode, **options):
            module.asked.append((data, mode, options))
            return Answer()

    module.Tissue = Tissue
    monkeypatch.setitem(sys.modules, TISSUE, module)
    Path("cells.h5ad").write_text("cells")
    return module


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["sample", *arguments])
    return int(ended.value.code or 0)


def test_defaults(tissue, capsys):
    assert call("--mode", "expr_to_pos", *CELLS) == 0
    assert tissue.asked == [
        (Path("models/spatial"), "cpu"),
        (
            Path("cells.h5ad"),
            "expr_to_pos",
            {
                "counts": "X",
                "spatial": "spatial",
                "section_column": None,
                "cell_type": None,
                "cell_type_column": None,
                "draws": 8,
                "steps": 100,
                "sampler": "ddim",
                "guidance": 1.0,
                "seed": 0,
            },
        ),
    ]
    assert capsys.readouterr().out.splitlines() == [
        "positions of cells of known expression: 2 cells, 8 draws",
        "a note",
        "wrote out.h5ad",
    ]
    assert Path("out.h5ad").read_text() == "written"


def test_what_is_asked_reaches_the_model(tissue):
    asked = ["--num-samples", "1", "--steps", "1000", "--sampler", "ddpm", "--guidance", "2", "--seed", "5"]
    told = ["--section-column", "slice", "--cell-type-column", "kind", "--counts", "raw/X", "--spatial", "xy"]
    assert call("--mode", "pos_to_expr", *CELLS, *asked, *told, "--model", "outputs/full/model") == 0
    folder, (_, mode, options) = tissue.asked[0][0], tissue.asked[1]
    assert (folder, mode) == (Path("outputs/full/model"), "pos_to_expr")
    assert options == {
        "counts": "raw/X",
        "spatial": "xy",
        "section_column": "slice",
        "cell_type": None,
        "cell_type_column": "kind",
        "draws": 1,
        "steps": 1000,
        "sampler": "ddpm",
        "guidance": 2.0,
        "seed": 5,
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--num-samples", "0"], "--num-samples 0: expected 1 or more"),
        (["--steps", "9"], "--steps 9: expected 10 to 1,000"),
        (["--steps", "1001"], "--steps 1001: expected 10 to 1,000"),
        (["--guidance", "nan"], "--guidance nan: expected 0 or more"),
        (["--guidance", "-1"], "--guidance -1: expected 0 or more"),
        (["--seed", "-1"], "--seed -1: expected 0 or more"),
        (["--threads", "0"], "--threads 0: expected 1 or more"),
        (["--spatial", "xy"], "--spatial says nothing in mode expr_to_pos"),
        (["--out", "cells.h5ad"], "cells.h5ad is the input"),
        (["--out", "there.h5ad"], "there.h5ad exists: name another file, or add --overwrite"),
        (["--sampler", "ddim2"], "invalid choice: 'ddim2'"),
        (["--num-sample-s", "2"], "did you mean --num-samples?"),
    ],
)
def test_a_wrong_call_is_one_message_before_any_work(tissue, capsys, arguments, expected):
    Path("there.h5ad").write_text("there")
    assert call("--mode", "expr_to_pos", *CELLS, *arguments) == 2
    assert expected in capsys.readouterr().err
    assert tissue.asked == []
    assert not Path("out.h5ad").exists()
    assert Path("there.h5ad").read_text() == "there"


def test_an_existing_file_is_replaced_on_request(tissue):
    Path("out.h5ad").write_text("old")
    assert call("--mode", "joint", *CELLS, "--overwrite") == 0
    assert Path("out.h5ad").read_text() == "written"
