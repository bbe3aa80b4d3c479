"""Results of measured data in git: whose they are is said, and a file that is not there is missed."""

import json

import pytest

from pipeline.core.errors import ExpectedError
from pipeline.core.paths import measured
from pipeline.report.measured import measured_studies

ABOUT = {
    "title": "Cells.",
    "description": "cells.h5ad: 5 cells",
    "data_sha256": "a",
    "commands": [],
    "commit": "f" * 40,
}
ABOUT |= {"study": "cells", "changed": {}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    measured("cfm_vc").mkdir(parents=True)
    for name, digest in (("one", "a"), ("other", "b")):
        (measured("cfm_vc") / f"{name}.csv").touch()
        (measured("cfm_vc") / f"{name}.json").write_text(json.dumps(ABOUT | {"data_sha256": digest}))
    (measured("cfm_vc") / "one_ablation.csv").touch()
    (measured("cfm_vc") / ".gitkeep").touch()
    return measured("cfm_vc")


def test_a_run_on_embedded_data_shows_all(folder):
    found = measured_studies("cfm_vc", (), embedded=True, digest="c")
    assert [(one.name, one.of_this_run) for one in found] == [("one", False), ("other", False)]
    assert found[0].scores == folder / "one.csv"
    assert found[0].ablation == folder / "one_ablation.csv"
    assert (found[0].title, found[0].description) == ("Cells", "cells.h5ad: 5 cells")


def test_nobody_reads_them_as_the_scores_of_their_own_data(folder):
    assert measured_studies("cfm_vc", (), embedded=False, digest="c") == []
    (same,) = measured_studies("cfm_vc", (), embedded=False, digest="b")
    assert (same.name, same.of_this_run) == ("other", True)


def test_where_none_are_kept_there_is_nothing_to_show(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert measured_studies("cfm_vc", (), embedded=True, digest="c") == []


def test_what_is_missing_is_named(folder):
    with pytest.raises(ExpectedError, match=r"one\.json: lacks windows: `git checkout reports/measured`"):
        measured_studies("cfm_vc", ("windows",), embedded=True, digest="c")
    (folder / "one.json").unlink()
    with pytest.raises(ExpectedError, match=r"one\.json not found: `git checkout reports/measured`"):
        measured_studies("cfm_vc", (), embedded=True, digest="c")
