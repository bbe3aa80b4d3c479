"""Results of studies of measured images, kept in git by the benchmark and shown by the report of the default run."""

import json
from pathlib import Path

import pandas as pd
import pytest

from pipeline.bayes_moe.report.measured import measured_images, read_measured
from pipeline.bayes_moe.report.results import read_moe
from pipeline.bayes_moe.report.summary import results
from pipeline.core.errors import ExpectedError
from pipeline.report.page import Facts, Heading
from tests.bayes_moe.simulated_results import AT, write_moe

EMBEDDED = {"input": "data/embedded/digits.yaml"}
KEPT = Path("reports/measured/bayes_moe")


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The simulated sweep, kept as a study of measured images."""
    monkeypatch.chdir(tmp_path)
    write_moe(tmp_path)
    KEPT.mkdir(parents=True)
    (KEPT / "shapes.csv").write_bytes(AT.results.read_bytes())
    about = {"title": "Shapes", "description": "Shapes: 5 images", "commands": ["a", "b"], "commit": "0123456789"}
    about |= {"machine": "a processor", "data_sha256": "a" * 64, "study": "shapes", "changed": {}, "twin": "dense"}
    for name in ("ensembles", "abstention"):
        about[name] = json.loads(pd.read_parquet(AT.details / f"{name}.parquet").to_json(orient="records"))
    (KEPT / "shapes.json").write_text(json.dumps(about))
    return about


def test_the_tables_are_those_of_the_study(kept):
    (one,) = read_measured(EMBEDDED)
    moe = read_moe(AT)
    pd.testing.assert_frame_equal(one.ensembles[moe.ensembles.columns], moe.ensembles, check_dtype=False)
    assert "it is worth 1.4 (95 % interval 1.0 to 2.5) dense networks" in one.lead
    assert "+0.010 (\N{MINUS SIGN}0.100 to +0.100), over 3 seeds" in one.lead
    section = measured_images([one])
    heading, facts = section.blocks[0], section.blocks[-1]
    assert isinstance(heading, Heading)
    assert isinstance(facts, Facts)
    assert (heading.text, dict(facts.entries)["Made by"]) == ("Shapes", "a, then b, at commit 0123456789")
    assert "**Shapes.** Validation chose" in "\n".join(results(moe, [one]))


def test_nobody_reads_them_as_the_scores_of_their_own_images(kept):
    assert read_measured({"input": "data/my_images"}) == []
    assert read_measured({}) == []


def test_where_none_are_kept_there_is_nothing_to_show(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_measured(EMBEDDED) == []


def test_a_file_that_lacks_something_is_named(kept):
    (KEPT / "shapes.json").write_text(json.dumps(kept | {"abstention": [{"point": "top_1"}]}))
    with pytest.raises(ExpectedError, match=r"shapes\.json: lacks score, aurc, .*`git checkout reports/measured`"):
        read_measured(EMBEDDED)
    kept.pop("twin")
    (KEPT / "shapes.json").write_text(json.dumps(kept))
    with pytest.raises(ExpectedError, match=r"shapes\.json: lacks twin"):
        read_measured(EMBEDDED)
