"""dvc.lock as stage records, without MLflow."""

from pathlib import Path

import pytest
import yaml

from pipeline.core.errors import ExpectedError
from pipeline.tracking.lock import read_lock

ROOT = Path(__file__).parents[2]
LOCK, DVC_YAML, PARAMS = ((ROOT / name).read_text(encoding="utf-8") for name in ("dvc.lock", "dvc.yaml", "params.yaml"))


def without(*addresses: str) -> str:
    """The project's own dvc.lock as a kill would cut it."""
    lock = yaml.load(LOCK, Loader=yaml.CSafeLoader)
    return yaml.dump(
        {**lock, "stages": {key: entry for key, entry in lock["stages"].items() if key not in addresses}},
        Dumper=yaml.CSafeDumper,
    )


def test_all_stages_but_the_mirrors_own_and_gates_are_records() -> None:
    declared = yaml.safe_load(DVC_YAML)["stages"]
    names = {record.address.partition("@")[0] for record in read_lock(LOCK, DVC_YAML, PARAMS, "HEAD")}
    assert names == set(declared) - {"track", "code"}


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (("report",), "report"),
        (("moe_sweep@top_1",), "moe_sweep@top_1"),
        (("evaluate@bayes_moe", "preprocess@alphastomics"), "evaluate@bayes_moe, preprocess@alphastomics"),
    ],
)
def test_a_lock_that_lacks_stages_is_refused(missing: tuple[str, ...], named: str) -> None:
    with pytest.raises(ExpectedError, match=f"dvc.lock of HEAD lacks {named}, whose results.*pipeline repair"):
        read_lock(without(*missing), DVC_YAML, PARAMS, "HEAD")


def test_where_nothing_is_mirrored_nothing_is_missed() -> None:
    alone = {"stages": {"fit": {"cmd": "true", "outs": ["fit.txt"]}}}
    lock = {"schema": "2.0", "stages": {}}
    assert read_lock(yaml.safe_dump(lock), yaml.safe_dump(alone), "", "HEAD") == []
