"""The contract of perturbation data: every way a file can break it is named, all at once, with the way to mend it."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from pipeline.cfm_vc.params.ingest import Ingest
from pipeline.core.errors import ExpectedError
from pipeline.data.contract import CONTRACTS, Accepted, accept
from pipeline.data.source import Source
from pipeline.params.obs_column import ObsColumn

COLUMNS = {"perturbation": "condition", "cell_type": "cluster", "batch": "donor"}


OPTIONAL = ("dose", "combination", "spatial")


def check(adata: anndata.AnnData, folder: Path, counts: str = "X", control: str = "ctrl", **changed) -> Accepted:
    """Accept the AnnData as a lab's file; `changed`: columns, and the optional keys of cfm_vc.ingest."""
    adata.write_h5ad(folder / "cells.h5ad")
    mapped = {name: ObsColumn.model_validate(changed.get(name, column)) for name, column in COLUMNS.items()}
    optional = {name: changed[name] for name in OPTIONAL if name in changed}
    if "dose" in optional:
        optional["dose"] = ObsColumn.model_validate(optional["dose"])
    source = Source(folder / "cells.h5ad", "cfm_vc.ingest", counts, mapped, control, **optional)
    return accept(CONTRACTS["perturbation"], source, folder / "standard.h5ad")


def problems(*args, **kwargs) -> str:
    with pytest.raises(ExpectedError) as caught:
        check(*args, **kwargs)
    return str(caught.value)


def with_counts(adata: anndata.AnnData, x_NG: np.ndarray) -> anndata.AnnData:
    adata.X = csr_matrix(x_NG)
    return adata


def log_normalised(adata: anndata.AnnData) -> np.ndarray:
    x_NG = adata.X.toarray()
    return np.log1p(x_NG / x_NG.sum(axis=1, keepdims=True) * 1e4).astype(np.float32)


def test_params_and_contract_name_the_same_slots():
    columns = Ingest.model_fields["columns"].annotation.model_fields
    assert [slot.name for slot in CONTRACTS["perturbation"].slots if slot.place == "obs" and not slot.optional] == list(
        columns
    )
    optional = [slot.name for slot in CONTRACTS["perturbation"].slots if slot.optional]
    assert set(optional) < set(Ingest.model_fields)


def test_a_good_file_is_accepted_and_copied(lab_adata, tmp_path):
    truth = lab_adata.X.toarray()
    accepted = check(lab_adata, tmp_path)
    copy = anndata.read_h5ad(tmp_path / "standard.h5ad")
    np.testing.assert_array_equal(copy.X.toarray(), truth)
    assert copy.X.dtype == np.int32
    assert copy.X.has_canonical_format
    assert list(copy.obs.columns) == ["perturbation", "cell_type", "batch"]
    assert list(copy.obs["batch"]) == list(lab_adata.obs["donor"])
    assert (accepted.cells, accepted.genes, accepted.notes) == (80, 12, [])


def test_labels_that_no_table_can_show_are_refused_and_cut_in_the_message(lab_adata, tmp_path):
    lab_adata.obs["cluster"] = lab_adata.obs["cluster"].cat.rename_categories({"B": "B\ncell", "T": "T" * 100_000})
    message = problems(lab_adata, tmp_path)
    assert "obs column 'cluster' (cell_type): found 2 labels that no table can show (" in message
    assert "B\\ncell" in message
    assert "labels of one line and at most 200 characters" in message
    assert len(message) < 2_000


def test_unsorted_repeated_and_zero_entries_are_brought_into_order(lab_adata, tmp_path):
    truth = lab_adata.X.toarray()
    truth[0] = 0
    truth[0, [2, 7]] = 3, 5
    parts = lab_adata.X.copy()
    first = parts.indptr[1]
    data = np.concatenate([[5, 1, 0, 2], parts.data[first:]]).astype(np.float32)
    indices = np.concatenate([[7, 2, 4, 2], parts.indices[first:]])
    indptr = np.concatenate([[0], parts.indptr[1:] - first + 4])
    lab_adata.X = csr_matrix((data, indices, indptr), shape=parts.shape)
    check(lab_adata, tmp_path)
    copy = anndata.read_h5ad(tmp_path / "standard.h5ad")
    np.testing.assert_array_equal(copy.X.toarray(), truth)
    assert (copy.X.data > 0).all()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (-3, "1 negative value (down to -3), such as -3 in cell 6, gene 3"),
        (np.nan, "1 NaN value, such as nan in cell 6, gene 3"),
        (np.inf, "1 infinite value, such as inf in cell 6, gene 3"),
        (2.5, "1 non-integer value, such as 2.5 in cell 6, gene 3"),
        (2.0**31, "1 value beyond 2,147,483,647"),
    ],
)
@pytest.mark.parametrize("dense", [False, True])
def test_what_is_no_count_is_told(lab_adata, tmp_path, value, words, dense):
    x_NG = lab_adata.X.toarray().astype(np.float64)
    x_NG[5, 2] = value
    lab_adata.X = x_NG if dense else csr_matrix(x_NG)
    message = problems(lab_adata, tmp_path)
    assert f"counts in X: found {words}" in message
    assert "expected whole numbers from 0 on (raw counts)" in message


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (np.log1p, "this looks log-normalised"),
        (lambda x: np.log2(1 + x), "this looks log2-normalised"),
        (lambda x: x, "this looks normalised to a common total"),
    ],
)
def test_normalised_counts_are_recognised(lab_adata, tmp_path, transform, words):
    x_NG = lab_adata.X.toarray()
    normalised = transform(x_NG / x_NG.sum(axis=1, keepdims=True) * 1e4).astype(np.float32)
    assert words in problems(with_counts(lab_adata, normalised), tmp_path)


def test_scaled_values_and_arbitrary_fractions_are_not_called_log_normalised(lab_adata, tmp_path):
    rng = np.random.default_rng(0)
    scaled = problems(with_counts(lab_adata, rng.normal(size=lab_adata.shape)), tmp_path)
    assert "this looks scaled or batch-corrected" in scaled
    assert "log-normalised" not in problems(with_counts(lab_adata, rng.random(lab_adata.shape) * 9), tmp_path)


def test_the_place_that_does_hold_counts_is_advised(lab_adata, tmp_path):
    lab_adata.layers["counts"] = lab_adata.X.copy()
    with_counts(lab_adata, log_normalised(lab_adata))
    assert "set cfm_vc.ingest.counts to layers/counts" in problems(lab_adata, tmp_path)
    assert check(lab_adata, tmp_path, counts="layers/counts").cells == 80


def test_counts_and_genes_of_raw_belong_together(lab_adata, tmp_path):
    lab_adata.raw = lab_adata
    cells = lab_adata[:, 3:].copy()
    assert check(cells, tmp_path, counts="raw/X").genes == 12
    assert list(anndata.read_h5ad(tmp_path / "standard.h5ad").var_names) == list(lab_adata.var_names)


@pytest.mark.parametrize(
    ("places", "taken"),
    [
        ({"layers/counts", "raw/X", "X", "layers/a"}, "layers/counts"),
        ({"raw/X", "X", "layers/a"}, "raw/X"),
        ({"X", "layers/a"}, "X"),
        ({"layers/a", "layers/z"}, "layers/a"),
    ],
)
def test_counts_are_found_where_they_are(lab_adata, tmp_path, places, taken):
    truth, logged = lab_adata.X.toarray(), csr_matrix(log_normalised(lab_adata))
    for name in ("a", "counts", "z"):
        lab_adata.layers[name] = lab_adata.X.copy() if f"layers/{name}" in places else logged
    if "raw/X" in places:
        lab_adata.raw = lab_adata
    if "X" not in places:
        lab_adata.X = logged
    assert check(lab_adata, tmp_path, counts="auto").notes == [f"the counts are those of {taken}"]
    np.testing.assert_array_equal(anndata.read_h5ad(tmp_path / "standard.h5ad").X.toarray(), truth)


def test_where_no_place_holds_counts_each_is_told_with_the_reason(lab_adata, tmp_path):
    logged = csr_matrix(log_normalised(lab_adata))
    lab_adata.layers["counts"] = 0 * lab_adata.X
    lab_adata.layers["scaled"] = -lab_adata.X
    lab_adata.var_names = ["gene1", *lab_adata.var_names[1:]]
    lab_adata.X = logged
    lab_adata.raw = lab_adata
    message = problems(lab_adata, tmp_path, counts="auto")
    assert "2 problems" in message
    assert "counts: found in layers/counts zeros alone; in raw/X " in message
    assert "this looks log-normalised; in X " in message
    assert "in layers/scaled " in message
    assert "negative values (down to -" in message
    assert "expected whole numbers from 0 on (raw counts) in X, in raw/X or in a layer" in message
    assert "duplicate name (gene1)" in message
    lab_adata.raw = None
    lab_adata.layers.clear()
    lab_adata.X = None
    assert "counts: found no matrix of cells x genes" in problems(lab_adata, tmp_path, counts="auto")


def test_counts_that_begin_with_empty_cells_are_found_and_what_comes_later_is_checked(lab_adata, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.data.count_checks.rows_per_block", lambda _: 8)
    monkeypatch.setattr("pipeline.data.contract.rows_per_block", lambda _: 8)
    x_NG = lab_adata.X.toarray()
    x_NG[:10] = 0
    lab_adata.layers["counts"] = csr_matrix(x_NG)
    assert check(lab_adata, tmp_path, counts="auto").notes[0] == "the counts are those of layers/counts"
    x_NG[70, 3] = 2.5
    lab_adata.layers["counts"] = csr_matrix(x_NG)
    message = problems(lab_adata, tmp_path, counts="auto")
    assert "counts in layers/counts: found 1 non-integer value" in message
    assert "set cfm_vc.ingest.counts to X, which holds whole numbers" in message


def test_a_missing_layer_is_told_with_the_places_there_are(lab_adata, tmp_path):
    lab_adata.layers["count"] = lab_adata.X.copy()
    message = problems(lab_adata, tmp_path, counts="layers/counts")
    assert "counts in layers/counts: found matrices in X, layers/count only" in message
    assert "perhaps 'layers/count'" in message


def test_a_file_without_counts_is_refused(lab_adata, tmp_path):
    lab_adata.X = None
    assert "counts in X: found matrices in none only" in problems(lab_adata, tmp_path)


def test_a_missing_column_is_told_with_the_columns_there_are(lab_adata, tmp_path):
    message = problems(lab_adata, tmp_path, perturbation="conditions")
    assert (
        "obs column 'conditions' (perturbation): found no such column; there are condition, cluster, donor" in message
    )
    assert "set cfm_vc.ingest.columns.perturbation to the column that holds it, perhaps 'condition'" in message


def test_missing_values_are_told(lab_adata, tmp_path):
    for column, slot in (("donor", "batch"), ("condition", "perturbation")):
        labels = lab_adata.obs[column].copy()
        lab_adata.obs[column] = labels.where(np.arange(80) != 4)
        assert f"obs column {column!r} ({slot}): found 1 cell with a missing value" in problems(lab_adata, tmp_path)
        lab_adata.obs[column] = labels


def test_cells_without_a_type_are_unknown_and_counted(lab_adata, tmp_path):
    types = lab_adata.obs["cluster"].astype(object).to_numpy()
    none = ["NA", np.nan, "", "Unassigned", "UNKNOWN", "unknown", " nan", None]
    types[:8] = none
    lab_adata.obs["cluster"] = pd.Categorical(types)
    accepted = check(lab_adata, tmp_path)
    assert accepted.notes[0].startswith("8 cells without a cell type (")
    assert accepted.notes[0].endswith("): theirs is 'unknown'")
    assert all(repr(text) in accepted.notes[0] for text in ("NA", "Unassigned", "UNKNOWN", "unknown"))
    copy = anndata.read_h5ad(tmp_path / "standard.h5ad")
    assert list(copy.obs["cell_type"]) == ["unknown"] * 8 + list(types[8:])
    assert list(copy.obs["cell_type"].cat.categories) == ["B", "T", "unknown"]


def test_no_cell_type_at_all_is_one_unknown_type(lab_adata, tmp_path):
    lab_adata.obs["cluster"] = np.nan
    assert check(lab_adata, tmp_path).columns["cell_type"].labels == ["unknown"]


def test_a_type_whose_name_begins_like_a_word_for_none_is_a_type(lab_adata, tmp_path):
    lab_adata.obs["cluster"] = lab_adata.obs["cluster"].cat.rename_categories({"B": "unknown myeloid", "T": "NAive"})
    accepted = check(lab_adata, tmp_path)
    assert (accepted.columns["cell_type"].labels, accepted.notes) == (["NAive", "unknown myeloid"], [])


def test_a_word_for_none_is_a_perturbation_where_it_is_the_control(lab_adata, tmp_path):
    lab_adata.obs["condition"] = lab_adata.obs["condition"].cat.rename_categories({"ctrl": "None"})
    assert check(lab_adata, tmp_path, control="None").columns["perturbation"].labels == ["None", "stim"]
    lab_adata.obs["condition"] = lab_adata.obs["condition"].cat.rename_categories({"None": "unknown"})
    assert check(lab_adata, tmp_path, control="unknown").columns["perturbation"].labels == ["stim", "unknown"]


def test_a_pattern_of_the_cell_type_still_has_to_match(lab_adata, tmp_path):
    lab_adata.obs["cluster"] = ["??", "type NA", *(f"type {label}" for label in lab_adata.obs["cluster"][2:])]
    pattern = {"column": "cluster", "pattern": "^type (.+)$"}
    assert "1 cell whose value does not match" in problems(lab_adata, tmp_path, cell_type=pattern)
    lab_adata.obs["cluster"] = ["type NA"] * 4 + list(lab_adata.obs["cluster"][4:])
    assert check(lab_adata, tmp_path, cell_type=pattern).columns["cell_type"].labels == ["B", "T", "unknown"]


def test_a_pattern_that_does_not_match_every_cell_is_told_with_examples(lab_adata, tmp_path):
    lab_adata.obs["sample"] = ["pooled", *(f"s{1 + n // 4 % 2}" for n in range(1, 80))]
    message = problems(lab_adata, tmp_path, batch={"column": "sample", "pattern": r"(\d)$"})
    assert r"1 cell whose value does not match the pattern '(\\d)$', such as 'pooled'" in message


@pytest.mark.parametrize(
    ("control", "words"),
    [
        ("CTRL", "found the labels ctrl, stim; expected the control label 'CTRL' among them"),
        ("ctr", "perhaps 'ctrl'"),
    ],
)
def test_an_absent_control_label_is_told_with_the_labels(lab_adata, tmp_path, control, words):
    assert words in problems(lab_adata, tmp_path, control=control)


def test_a_single_perturbation_is_refused(lab_adata, tmp_path):
    lab_adata.obs["condition"] = "ctrl"
    assert "found the one label 'ctrl'; expected at least 2 labels" in problems(lab_adata, tmp_path)


def test_groups_of_one_cell_are_refused(lab_adata, tmp_path):
    lab_adata.obs["cluster"] = ["rare", *lab_adata.obs["cluster"][1:]]
    assert "found 1 group with one cell (rare / ctrl)" in problems(lab_adata, tmp_path)


def test_duplicate_names_are_told(lab_adata, tmp_path):
    lab_adata.obs_names = ["cell0", "cell0", *lab_adata.obs_names[2:]]
    lab_adata.var_names = ["gene1", "gene1", "gene1", *lab_adata.var_names[3:]]
    message = problems(lab_adata, tmp_path)
    assert "cell names in obs: found 1 duplicate name (cell0)" in message
    assert "gene names in var: found 1 duplicate name (gene1)" in message


def test_empty_cells_and_genes_are_noted_and_all_empty_is_refused(lab_adata, tmp_path):
    x_NG = lab_adata.X.toarray()
    x_NG[[3, 40]] = 0
    x_NG[:, 7] = 0
    assert check(with_counts(lab_adata, x_NG), tmp_path).notes == [
        "2 cells without a count; preprocess drops them",
        "1 gene without a count; preprocess drops them",
    ]
    assert "zeros alone" in problems(with_counts(lab_adata, 0 * x_NG), tmp_path)


def test_no_cells_at_all_are_refused(lab_adata, tmp_path):
    assert "cells in obs: found none" in problems(lab_adata[:0].copy(), tmp_path)


def test_a_batch_that_is_the_perturbation_is_refused_with_a_pattern_that_works(lab_adata, tmp_path):
    lab_adata.obs["sample"] = [
        f"{c}_{d}" for c, d in zip(lab_adata.obs["condition"], lab_adata.obs["donor"], strict=True)
    ]
    message = problems(lab_adata, tmp_path, batch="sample")
    assert "each batch contains one perturbation only (ctrl_d1 has ctrl, ctrl_d2 has ctrl, stim_d1 has stim)" in message
    assert r'use {column: sample, pattern: "(\\d+)$"}, which gives 1, 2' in message
    assert check(lab_adata, tmp_path, batch={"column": "sample", "pattern": r"(\d+)$"}).columns["batch"].labels == [
        "1",
        "2",
    ]


def test_partial_confounding_is_a_note(lab_adata, tmp_path):
    donor = np.where(lab_adata.obs["condition"] == "stim", "d2", "d1")
    donor[:10] = "d1"
    lab_adata.obs["donor"] = donor
    notes = check(lab_adata, tmp_path).notes
    assert "batch and perturbation are strongly associated (Cramér's V 0.88)" in notes[0]
    assert notes[1] == "no control cells in batch d2"


def test_a_single_batch_is_fine(lab_adata, tmp_path):
    lab_adata.obs["donor"] = "only"
    assert check(lab_adata, tmp_path).notes == []


def test_cell_types_without_control_are_a_note(lab_adata, tmp_path):
    cluster = lab_adata.obs["cluster"].astype(str).to_numpy()
    lab_adata.obs["cluster"] = np.where((np.arange(80) < 20) & (lab_adata.obs["condition"] == "stim"), "new", cluster)
    assert check(lab_adata, tmp_path).notes == ["no control cells for new: no effect can be measured there"]


def test_all_problems_are_reported_at_once(lab_adata, tmp_path):
    lab_adata.obs_names = ["cell0", "cell0", *lab_adata.obs_names[2:]]
    with_counts(lab_adata, log_normalised(lab_adata))
    message = problems(lab_adata, tmp_path, batch="plate", control="none")
    assert "cannot be used, 4 problems:" in message
    for number, words in enumerate(("obs column 'plate'", "obs column 'condition'", "cell names", "counts in X"), 1):
        assert f"\n  {number}. {words}" in message


def test_a_column_of_many_labels_is_listed_in_part(lab_adata, tmp_path):
    lab_adata.obs["condition"] = pd.Categorical([f"drug{n // 2 // 4}" for n in range(80)])
    lab_adata.obs["cluster"] = "B"
    assert "drug0, drug1, drug2, drug3, drug4, drug5, drug6, drug7 and 2 more" in problems(lab_adata, tmp_path)
