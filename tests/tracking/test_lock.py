"""dvc.lock as stage records, without MLflow."""

from pathlib import Path

import pytest
import yaml

from pipeline.core.errors import ExpectedError
from pipeline.tracking.lock import read_lock

ROOT = Path(__file__).parents[2]
FILES = ("dvc.lock", "dvc.yaml", "params.yaml", "plan.yaml")
LOCK, DVC_YAML, PARAMS, PLAN = ((ROOT / name).read_text(encoding="utf-8") for name in FILES)


def without(*addresses: str) -> str:
    """The project's own dvc.lock as a kill would cut it."""
    lock = yaml.load(LOCK, Loader=yaml.CSafeLoader)
    return yaml.dump(
        {**lock, "stages": {key: entry for key, entry in lock["stages"].items() if key not in addresses}},
        Dumper=yaml.CSafeDumper,
    )


def test_all_stages_but_the_mirrors_own_and_gates_are_records() -> None:
    declared = yaml.safe_load(DVC_YAML)["stages"]
    names = {record.address.partition("@")[0] for record in read_lock(LOCK, DVC_YAML, PARAMS, PLAN, "HEAD")}
    assert names == set(declared) - {
        "track",
        "code",
        "list_files",
        "ingest_file",
    }  # the default studies have one file each


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (("report",), "report"),
        (("moe_sweep@digits-top_1",), "moe_sweep@digits-top_1"),
        (
            ("evaluate@bayes_moe-digits", "preprocess@alphastomics-tissue-held_out"),
            "evaluate@bayes_moe-digits, preprocess@alphastomics-tissue-held_out",
        ),
    ],
)
def test_a_lock_that_lacks_stages_is_refused(missing: tuple[str, ...], named: str) -> None:
    with pytest.raises(ExpectedError, match=f"dvc.lock of HEAD lacks {named}, whose results.*pipeline repair"):
        read_lock(without(*missing), DVC_YAML, PARAMS, PLAN, "HEAD")
    found = read_lock(without(*missing), DVC_YAML, PARAMS, PLAN, "HEAD", whole=False)
    assert not {record.address for record in found} & set(missing)


def test_where_nothing_is_mirrored_nothing_is_missed() -> None:
    alone = {"stages": {"fit": {"cmd": "true", "outs": ["fit.txt"]}}}
    lock = {"schema": "2.0", "stages": {}}
    assert read_lock(yaml.safe_dump(lock), yaml.safe_dump(alone), "", "", "HEAD") == []


def test_a_record_knows_its_study() -> None:
    studies = {record.address: record.study for record in read_lock(LOCK, DVC_YAML, PARAMS, PLAN, "HEAD")}
    assert studies["vae_pretrain@pbmc-held_out-0"] == "cfm_vc/pbmc"
    assert studies["moe_sweep@digits-top_1"] == "bayes_moe/digits"
    assert studies["report"] is None
