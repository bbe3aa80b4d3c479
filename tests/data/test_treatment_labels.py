"""Doses and combinations of a lab's file: one label for each, whatever the way it is written, or a clear refusal."""

import numpy as np
import pandas as pd
import pytest

from tests.data.test_contract import check, problems

CELLS = np.arange(80)


def labels(accepted) -> list[str]:
    column = accepted.columns["perturbation"]
    return [column.labels[code] for code in column.codes]


def spread(values: list[object]) -> list[object]:
    """One value per cell, in every cell type and batch."""
    return [values[number // 8 % len(values)] if number % 2 else values[0] for number in CELLS]


def test_without_the_keys_labels_stay_as_they_are(lab_adata, tmp_path):
    lab_adata.obs["condition"] = spread(["ctrl", "A+ctrl", "B@1"])
    accepted = check(lab_adata, tmp_path)
    assert accepted.columns["perturbation"].labels == ["A+ctrl", "B@1", "ctrl"]
    assert (accepted.doses, accepted.combination) == (None, None)


def test_a_combination_has_one_label_in_whatever_order_it_is_written(lab_adata, tmp_path):
    written = spread(["ctrl", "B+A", "A + B", "A+ctrl", "A", "ctrl+ctrl"])
    lab_adata.obs["condition"] = written
    accepted = check(lab_adata, tmp_path, combination="+")
    meant = {"ctrl": "ctrl", "B+A": "A+B", "A + B": "A+B", "A+ctrl": "A", "A": "A", "ctrl+ctrl": "ctrl"}
    assert labels(accepted) == [meant[label] for label in written]
    assert accepted.doses == {"A": {"A": 1.0}, "A+B": {"A": 1.0, "B": 1.0}, "ctrl": {}}
    assert accepted.combination == "+"


@pytest.mark.parametrize(
    ("label", "words"), [("A+A", "'A+A': it names a treatment twice"), ("A+", "'A+': a part of it is empty")]
)
def test_a_label_that_is_no_combination_is_refused(lab_adata, tmp_path, label, words):
    lab_adata.obs["condition"] = [label if number == 9 else known for number, known in enumerate(spread(["ctrl", "A"]))]
    message = problems(lab_adata, tmp_path, combination="+")
    assert (
        f"obs column 'condition' (perturbation): found 1 cell with a label that is no combination ({words})" in message
    )
    assert "1 problem:" in message


@pytest.mark.parametrize(
    "stored",
    [
        np.float64,
        np.float32,  # 0.1 is not 0.10000000149011612
        pd.Categorical,
        lambda doses: [f"{dose:.2f}" for dose in doses],  # "10.00" is 10
    ],
)
def test_every_dose_of_a_treatment_is_a_label_of_its_own(lab_adata, tmp_path, stored):
    doses = np.array([0, 0.1, 10, 2.5])[CELLS // 4 % 4]
    lab_adata.obs["condition"] = np.where(CELLS % 2, "drug", "ctrl")
    lab_adata.obs["dose"] = stored(doses)
    accepted = check(lab_adata, tmp_path, dose="dose")
    names = np.array(["ctrl", "drug@0.1", "drug@10", "drug@2.5"])[CELLS // 4 % 4]
    assert labels(accepted) == np.where(CELLS % 2, names, "ctrl").tolist()
    expected = {"ctrl": {}, "drug@0.1": {"drug": 0.1}, "drug@10": {"drug": 10.0}, "drug@2.5": {"drug": 2.5}}
    assert accepted.doses == expected


def test_a_dose_applies_to_every_treatment_of_a_combination(lab_adata, tmp_path):
    lab_adata.obs["condition"] = spread(["ctrl", "B+A"])
    lab_adata.obs["dose"] = 0.5
    assert check(lab_adata, tmp_path, dose="dose", combination="+").doses == {
        "A+B@0.5": {"A": 0.5, "B": 0.5},
        "ctrl": {},
    }


def test_a_dose_may_hide_in_another_column(lab_adata, tmp_path):
    lab_adata.obs["condition"] = spread(["ctrl", "drug"])
    lab_adata.obs["sample"] = [f"well_{number}_{dose}uM" for number, dose in enumerate(spread([0, 30]))]
    doses = check(lab_adata, tmp_path, dose={"column": "sample", "pattern": "([0-9.]+)uM$"}).doses
    assert doses == {"ctrl": {}, "drug@30": {"drug": 30.0}}


def test_the_control_needs_no_dose_and_a_dose_of_zero_is_the_control(lab_adata, tmp_path):
    lab_adata.obs["condition"] = np.where(CELLS % 2, "drug", "ctrl")
    lab_adata.obs["dose"] = np.select([CELLS % 2 == 0, CELLS % 3 == 0], [np.nan, 0.0], 1.0)
    found = labels(check(lab_adata, tmp_path, dose="dose"))
    assert found == np.where((CELLS % 2 == 1) & (CELLS % 3 > 0), "drug@1", "ctrl").tolist()


def test_cells_at_dose_zero_alone_can_be_the_controls(lab_adata, tmp_path):
    lab_adata.obs["condition"] = "drug"
    lab_adata.obs["dose"] = np.where(CELLS % 2, 3.0, 0.0)
    assert labels(check(lab_adata, tmp_path, dose="dose")) == np.where(CELLS % 2, "drug@3", "ctrl").tolist()


def test_doses_that_are_none_are_told_with_their_cells_and_numbers(lab_adata, tmp_path):
    lab_adata.obs["condition"] = np.where(CELLS % 2, "drug", "ctrl")
    dose = np.ones(80)
    dose[[1, 3, 5, 7, 8]] = np.nan  # cell 9 is a control
    dose[11] = -2
    dose[[13, 15]] = np.inf
    lab_adata.obs["dose"] = dose
    message = problems(lab_adata, tmp_path, dose="dose")
    where = "obs column 'dose' (dose): found "
    assert where + "4 treated cells without a dose, such as cells 2, 4, 6; expected a number from 0 on" in message
    assert where + "1 treated cell with a negative dose, such as -2 in cell 12" in message
    assert where + "2 treated cells with an infinite dose, such as inf in cells 14, 16" in message
    assert "3 problems:" in message


def test_a_dose_in_words_is_told(lab_adata, tmp_path):
    lab_adata.obs["dose"] = ["high" if number == 1 else "1.0" for number in CELLS]
    message = problems(lab_adata, tmp_path, dose="dose")
    assert "1 treated cell whose dose is not a number, such as high in cell 2" in message
    message = problems(lab_adata, tmp_path, dose={"column": "dose", "pattern": r"^(\d)"})
    assert r"1 treated cell whose dose does not match the pattern '^(\\d)', such as cell 2" in message


def test_a_missing_dose_column_is_told_alone(lab_adata, tmp_path):
    lab_adata.obs["dose_uM"] = 1.0
    message = problems(lab_adata, tmp_path, dose="dose")
    assert "obs column 'dose' (dose): found no such column" in message
    assert "set cfm_vc.ingest.dose to the column that holds it, perhaps 'dose_uM'" in message
    assert "1 problem:" in message
