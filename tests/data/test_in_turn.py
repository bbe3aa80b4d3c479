"""The labels that a study holds out in turn, and the names of their folds."""

from pathlib import Path

import pytest

from pipeline.core.errors import ExpectedError
from pipeline.data.in_turn import labels_in_files
from pipeline.params.fold_names import fold_names
from pipeline.params.obs_column import ObsColumn

CLUSTER = ObsColumn(column="cluster")


def test_labels_are_those_of_all_files_but_what_ingest_calls_unknown(lab_adata, tmp_path: Path) -> None:
    lab_adata.write_h5ad(tmp_path / "a.h5ad")
    lab_adata.obs["cluster"] = ["Unassigned", "NK"] * 40
    lab_adata.write_h5ad(tmp_path / "b.h5ad")
    assert labels_in_files([tmp_path / "a.h5ad", tmp_path / "b.h5ad"], CLUSTER, "held_out") == ["B", "NK", "T"]
    with pytest.raises(ExpectedError, match=r"held_out: column 'cluster' has the labels NK: .* takes two or more"):
        labels_in_files([tmp_path / "b.h5ad"], CLUSTER, "held_out")


def test_names_of_folds_are_names_of_stages_and_differ() -> None:
    assert fold_names(["CD4 T+", "CD4 T-", "8"]) == {"CD4 T+": "cd4_t", "CD4 T-": "cd4_t_2", "8": "label_8"}
