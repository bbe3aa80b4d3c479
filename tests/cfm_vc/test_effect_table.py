"""The table of effects, through Python and the command."""

import anndata
import numpy as np
import pandas as pd
import pytest

from pipeline import cli
from pipeline.cfm_vc.effect_table import COLUMNS, effect_table
from pipeline.cfm_vc.model.transport import Solution
from pipeline.cfm_vc.trained import CfmVc
from pipeline.core.errors import ExpectedError


@pytest.fixture
def model(saved_cfm_vc, tmp_path):
    return CfmVc.load(saved_cfm_vc(tmp_path / "models", size=1.3))


def test_every_gene_of_every_known_cell_type_has_a_change_in_its_interval(model):
    table = effect_table(model, "B", None, ["T", "NK", "never seen", "T"], Solution("control"))
    assert list(table.columns) == COLUMNS
    assert table.groupby("cell_type").size().to_dict() == {"NK": 12, "T": 12}
    assert ((table["low"] <= table["change"]) & (table["change"] <= table["high"])).all()
    assert (table["low"] >= -table["control"] - 1e-12).all()
    effect = model.effects(Solution("control")).of(model.cell_types.index("T"), model.doses.vector({"B": 1.0}))
    of_t = table[table["cell_type"] == "T"]
    np.testing.assert_array_equal(of_t["change"], effect.change_G)
    np.testing.assert_array_equal(of_t["effect"], effect.change_G - effect.noise_G)


@pytest.mark.parametrize(("dose", "known"), [(0.5, False), (1.0, True), (2.0, False)])
def test_beyond_the_measured_doses_no_interval_is_claimed(model, dose, known):
    table = effect_table(model, "B", dose, ["T"], Solution("control"))
    assert table["change"].notna().all()
    assert table[["low", "high"]].notna().all(axis=None) == known
    assert table[["low", "high"]].isna().all(axis=None) != known


def test_controls_have_no_effect_and_an_unknown_treatment_is_refused(model):
    assert effect_table(model, "control", None, ["T"], Solution("control")).empty
    with pytest.raises(ExpectedError, match="Z"):
        effect_table(model, "Z", None, ["T"], Solution("control"))


def test_the_command_writes_it_beside_the_cells(saved_cfm_vc, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    saved_cfm_vc(tmp_path / "models/cfm_vc/pbmc/held_out/seed_0", size=1.3)
    counts = np.random.default_rng(0).poisson(3.0, (20, 12)).astype(np.float32)
    anndata.AnnData(counts, var=pd.DataFrame(index=[f"gene{g}" for g in range(12)])).write_h5ad("cells.h5ad")
    asked = ["predict", "--data", "cells.h5ad", "--perturbation", "A", "--dose", "2", "--cell-type", "NK"]

    def call(*more):
        with pytest.raises(SystemExit) as ended:
            cli.main([*asked, *more])
        return ended.value.code

    assert call("--out", "out.h5ad", "--effects", "effects.csv") == 0
    assert "wrote effects.csv: 1 cell type with training controls" in capsys.readouterr().out
    table = pd.read_csv("effects.csv")
    assert list(table.columns) == COLUMNS
    assert len(table) == 12
    assert call("--out", "other.h5ad", "--effects", "effects.csv") == 2
    assert "effects.csv exists" in capsys.readouterr().err
    assert call("--out", "same.csv", "--effects", "same.csv") == 2
