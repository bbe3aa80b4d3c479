"""The stages that draw chapters: each from its own system's files, or to one clear message."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from pipeline.cfm_vc.stages import chapter as cfm_vc_chapter
from pipeline.core.errors import ExpectedError
from pipeline.params.chapter import Chapter as ChapterSettings
from pipeline.report.chapter import read_chapter
from tests.report.drawn import CHAPTERS, FOLDS, STUDIES
from tests.report.simulated_results import write_results
from tests.settled import settled

ROOT = Path(__file__).parents[2]
INPUTS = {
    "cfm_vc": {
        "data/processed/cfm_vc/pbmc/held_out/dataset.json": "dvc repro preprocess@cfm_vc-pbmc-held_out",
        "reports/cfm_vc/pbmc/quality/held_out.json": "dvc repro preprocess@cfm_vc-pbmc-held_out",
        "reports/cfm_vc/pbmc/curves/held_out-0-vae.csv": "dvc repro vae_pretrain@pbmc-held_out-0",
        "reports/cfm_vc/pbmc/curves/held_out-0-flow.csv": "dvc repro flow_train@pbmc-held_out-0",
        "reports/cfm_vc/pbmc/training/held_out-0-vae.json": "dvc repro vae_pretrain@pbmc-held_out-0",
        "reports/cfm_vc/pbmc/training/held_out-0-flow.json": "dvc repro flow_train@pbmc-held_out-0",
        "reports/cfm_vc/pbmc/results.csv": "dvc repro evaluate@cfm_vc-pbmc",
        "reports/cfm_vc/pbmc/details/change.parquet": "dvc repro evaluate@cfm_vc-pbmc",
        "reports/cfm_vc/pbmc/details/expression_latent.parquet": "dvc repro evaluate@cfm_vc-pbmc",
        "reports/cfm_vc/pbmc/details/population.parquet": "dvc repro evaluate@cfm_vc-pbmc",
        "reports/measured/cfm_vc/kang.csv": "git checkout reports/measured",
        "reports/measured/cfm_vc/kang_ablation.csv": "git checkout reports/measured",
        "reports/measured/cfm_vc/kang.json": "git checkout reports/measured",
    },
    "bayes_moe": {
        "data/raw/bayes_moe/digits/source.json": "dvc repro ingest@bayes_moe-digits",
        "reports/bayes_moe/digits/ood.json": "dvc repro ingest_ood@digits",
        "reports/bayes_moe/digits/results.csv": "dvc repro evaluate@bayes_moe-digits",
        "reports/bayes_moe/digits/details/points.parquet": "dvc repro evaluate@bayes_moe-digits",
        "reports/bayes_moe/digits/details/reliability.parquet": "dvc repro evaluate@bayes_moe-digits",
        "reports/bayes_moe/digits/details/corruption.parquet": "dvc repro evaluate@bayes_moe-digits",
        "reports/bayes_moe/digits/details/experts.parquet": "dvc repro evaluate@bayes_moe-digits",
        "reports/bayes_moe/digits/details/sampled.parquet": "dvc repro evaluate@bayes_moe-digits",
        "reports/bayes_moe/digits/curves/dense.csv": "dvc repro moe_sweep@digits-dense",
    },
    "alphastomics": {
        "data/processed/alphastomics/tissue/held_out/dataset.json": "dvc repro preprocess@alphastomics-tissue-held_out",
        "reports/alphastomics/tissue/curves/held_out-0.csv": "dvc repro diffusion_train@tissue-held_out-0",
        "reports/alphastomics/tissue/results.csv": "dvc repro evaluate@alphastomics-tissue",
        "reports/alphastomics/tissue/details/cells.parquet": "dvc repro evaluate@alphastomics-tissue",
        "reports/alphastomics/tissue/details/distances.parquet": "dvc repro evaluate@alphastomics-tissue",
        "reports/alphastomics/tissue/details/genes.parquet": "dvc repro evaluate@alphastomics-tissue",
        "reports/alphastomics/tissue/details/expression.parquet": "dvc repro evaluate@alphastomics-tissue",
    },
    "mole": {
        "data/raw/mole/series/source.json": "dvc repro ingest@mole-series",
        "reports/mole/series/results.csv": "dvc repro evaluate@mole-series",
        "reports/mole/series/details/choices.json": "dvc repro evaluate@mole-series",
        "reports/mole/series/details/points.parquet": "dvc repro evaluate@mole-series",
        "reports/mole/series/details/channels.parquet": "dvc repro evaluate@mole-series",
        "reports/mole/series/details/steps.parquet": "dvc repro evaluate@mole-series",
        "reports/mole/series/details/expert_weights.parquet": "dvc repro evaluate@mole-series",
        "reports/mole/series/details/usage.parquet": "dvc repro evaluate@mole-series",
        "reports/mole/series/details/reduced.parquet": "dvc repro evaluate@mole-series",
        "reports/mole/series/details/example.parquet": "dvc repro evaluate@mole-series",
        "reports/measured/mole/etth1.csv": "git checkout reports/measured",
        "reports/measured/mole/etth1.json": "git checkout reports/measured",
        "reports/mole/series/ttnn.json": "dvc repro ttnn_benchmark@series",
        "reports/mole/series/latency.json": "dvc repro ttnn_benchmark@series",
    },
}
EACH = [(name, path) for name, paths in INPUTS.items() for path in paths]


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A folder with small results of all other stages."""
    root = tmp_path_factory.mktemp("results")
    write_results(root, genes=60, cells=200)
    return root


@pytest.fixture
def results(tmp_path, monkeypatch, written):
    """A working directory with small results of all other stages."""
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def chapter_of(name: str) -> Path:
    return STUDIES[name].chapter


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_is_drawn_from_what_dvc_yaml_lists_alone(small_report, tmp_path, monkeypatch, name):
    """Also the same bytes twice; params.yaml is not there either."""
    at = STUDIES[name]
    plan = yaml.safe_load((ROOT / "plan.yaml").read_text())["plan"]
    entry = plan["studies"][f"{name}-{at.study}"]
    for dep in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["chapter"]["do"]["deps"]:
        path = re.sub(r"\$\{item\.(\w+)\}", lambda found: entry[found[1]], dep)
        if not path.startswith("data/code/"):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (small_report / path).is_dir() else shutil.copy)(small_report / path, tmp_path / path)
    monkeypatch.chdir(tmp_path)
    CHAPTERS[name]()
    for written in (at.chapter, at.page):
        assert written.read_bytes() == (small_report / written).read_bytes()


@pytest.mark.parametrize(("name", "path"), EACH)
def test_a_missing_input_is_named_with_what_makes_it_and_the_old_chapter_stays(results, name, path):
    chapter_of(name).parent.mkdir(parents=True)
    chapter_of(name).write_text("the previous chapter")
    Path(path).unlink()
    with pytest.raises(ExpectedError) as caught:
        CHAPTERS[name]()
    assert path in str(caught.value)
    assert INPUTS[name][path] in str(caught.value)
    assert chapter_of(name).read_text() == "the previous chapter"


@pytest.mark.parametrize(("name", "path"), EACH)
def test_a_truncated_input_is_named(results, name, path):
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 3] if Path(path).suffix != ".csv" else b"")
    with pytest.raises(ExpectedError) as caught:
        CHAPTERS[name]()
    assert path in str(caught.value)


@pytest.mark.parametrize(("name", "path"), [each for each in EACH if each[1].endswith((".csv", ".parquet"))])
def test_a_table_without_rows_or_without_a_column_is_named(results, name, path):
    read, write = {
        ".csv": (pd.read_csv, lambda frame: frame.to_csv(path, index=False)),
        ".parquet": (pd.read_parquet, lambda frame: frame.to_parquet(path, index=False)),
    }[Path(path).suffix]
    frame = read(path)
    if not path.endswith("sampled.parquet"):  # which has none where no gate is stochastic
        write(frame.iloc[:0])
        with pytest.raises(ExpectedError, match="has no rows"):
            CHAPTERS[name]()
    place = "measured" if path.startswith("reports/measured/") else Path(path).parent.name
    needed = {"curves": "epoch", "measured": "metric", STUDIES[name].study: "metric"}.get(place) or {
        "cfm_vc": "cell_type", "alphastomics": "section", "bayes_moe": "point", "mole": "horizon"
    }[name]  # fmt: skip
    write(frame.drop(columns=needed))
    with pytest.raises(ExpectedError, match=f"lacks {needed}"):
        CHAPTERS[name]()


def test_a_held_out_group_without_its_population_is_an_error(results):
    path = Path("reports/cfm_vc/pbmc/details/population.parquet")
    population = pd.read_parquet(path)
    population[population["cell_type"] != "CD19+ B"].to_parquet(path)
    with pytest.raises(ExpectedError, match=r"population.parquet: no control cells for inhibitor in CD19\+ B"):
        CHAPTERS["cfm_vc"]()


def test_a_study_that_holds_nothing_out_is_shown_and_not_judged(results):
    """From what its training left: nothing was scored. What its card links to is there."""
    at = STUDIES["cfm_vc"]
    for scored in (at.details, at.headlines):
        shutil.rmtree(scored, ignore_errors=True)
    at.results.unlink()
    cfm_vc_chapter.run(ChapterSettings(folds=FOLDS, evaluated=False), at)
    chapter = read_chapter(at)
    anchors = [anchor for _, anchor in chapter.contents]
    assert chapter.system.answer.startswith("Trained, not evaluated")
    assert chapter.system.standing == "level"
    assert chapter.system.anchor in anchors
    assert len(anchors) == 3
    assert "ahead" not in chapter.results
    html = at.page.read_text()
    assert all(f'id="{anchor}"' in html for anchor in re.findall(r'href="#([^"]+)"', html))


def test_the_stages_start_without_torch():
    modules = ", ".join(f"pipeline.{name}.stages.chapter" for name in CHAPTERS)
    program = f"import sys, {modules}; sys.exit(bool({{'torch', 'scanpy', 'sklearn'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_an_expected_problem_is_one_message_and_exit_code_2(results):
    settled(results)
    Path("reports/cfm_vc/pbmc/curves/held_out-0-vae.csv").unlink()
    result = subprocess.run(
        [sys.executable, "-m", "pipeline.cfm_vc.stages.chapter", "pbmc"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: reports/cfm_vc/pbmc/curves/held_out-0-vae.csv not found")
    assert "Traceback" not in result.stderr
