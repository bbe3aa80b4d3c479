"""What MLflow is told of a study's data: where it comes from, and its hash."""

from pipeline.tracking.datasets import data_of_studies
from pipeline.tracking.lock import StageRecord


def test_of_a_folder_of_files_the_folder_is_the_source_and_of_a_list_what_ingest_reads() -> None:
    studies = {
        f"cfm_vc-{name}": {"system": "cfm_vc", "study": name, "source": source}
        for name, source in (
            ("one", "cells.h5ad"),
            ("lab", "data/inputs/cfm_vc/lab"),
            ("few", "data/inputs/cfm_vc/few"),
        )
    }
    plan = {"studies": {**studies, "mole-new": {"system": "mole", "study": "new", "source": "new.csv"}},
            "folders": {"cfm_vc-lab": {"system": "cfm_vc", "study": "lab", "source": "lab"}}}  # fmt: skip
    record = StageRecord("ingest", "", {}, {}, {f"data/raw/cfm_vc/{name}": name for name in ("one", "lab", "few")})
    assert data_of_studies(plan, [record]) == {
        "cfm_vc/one": ("cells.h5ad", "one"),
        "cfm_vc/lab": ("lab", "lab"),
        "cfm_vc/few": ("data/inputs/cfm_vc/few", "few"),
    }
    assert data_of_studies({"studies": studies}, [record])["cfm_vc/lab"] == ("data/inputs/cfm_vc/lab", "lab")
