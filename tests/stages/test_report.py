"""The report stage: from the files of the other stages to one page, or to one clear message."""

import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import ExpectedError
from pipeline.params.report import Report
from pipeline.stages.report import run
from tests.report.simulated_results import write_results

REPORT = Path("reports/report.html")
RESULTS = Path("reports/RESULTS.md")
INPUTS = {
    "data/processed/perturbation/dataset.json": "dvc repro preprocess@perturbation",
    "reports/quality/perturbation.json": "dvc repro preprocess@perturbation",
    "reports/curves/vae.csv": "dvc repro vae_pretrain",
    "reports/curves/flow.csv": "dvc repro flow_train",
    "reports/metrics/vae.json": "dvc repro vae_pretrain",
    "reports/metrics/flow.json": "dvc repro flow_train",
    "reports/tables/perturbation.csv": "dvc repro evaluate@perturbation",
    "reports/evaluation/perturbation/change.parquet": "dvc repro evaluate@perturbation",
    "reports/evaluation/perturbation/expression_latent.parquet": "dvc repro evaluate@perturbation",
    "reports/evaluation/perturbation/population.parquet": "dvc repro evaluate@perturbation",
    "reports/leave_one_out/scores.csv": "python -m benchmarks.leave_one_out",
    "reports/leave_one_out/ablation.csv": "python -m benchmarks.leave_one_out",
    "reports/leave_one_out/about.json": "python -m benchmarks.leave_one_out",
    "reports/metrics/moe.json": "dvc repro evaluate@moe",
    "reports/tables/moe.csv": "dvc repro evaluate@moe",
    "reports/evaluation/moe/points.parquet": "dvc repro evaluate@moe",
    "reports/evaluation/moe/differences.parquet": "dvc repro evaluate@moe",
    "reports/evaluation/moe/reliability.parquet": "dvc repro evaluate@moe",
    "reports/evaluation/moe/corruption.parquet": "dvc repro evaluate@moe",
    "reports/evaluation/moe/experts.parquet": "dvc repro evaluate@moe",
    "reports/evaluation/moe/sampled.parquet": "dvc repro evaluate@moe",
    "reports/curves/moe_sweep/dense.csv": "dvc repro moe_sweep@dense",
    "data/processed/spatial/dataset.json": "dvc repro preprocess@spatial",
    "reports/curves/diffusion.csv": "dvc repro diffusion_train",
    "reports/tables/spatial.csv": "dvc repro evaluate@spatial",
    "reports/evaluation/spatial/cells.parquet": "dvc repro evaluate@spatial",
    "reports/evaluation/spatial/distances.parquet": "dvc repro evaluate@spatial",
    "reports/evaluation/spatial/genes.parquet": "dvc repro evaluate@spatial",
    "reports/evaluation/spatial/expression.parquet": "dvc repro evaluate@spatial",
    "data/raw/series/source.json": "dvc repro ingest@series",
    "reports/tables/forecasting.csv": "dvc repro evaluate@forecasting",
    "reports/metrics/forecasting.json": "dvc repro evaluate@forecasting",
    "reports/evaluation/forecasting/points.parquet": "dvc repro evaluate@forecasting",
    "reports/evaluation/forecasting/channels.parquet": "dvc repro evaluate@forecasting",
    "reports/evaluation/forecasting/steps.parquet": "dvc repro evaluate@forecasting",
    "reports/evaluation/forecasting/expert_weights.parquet": "dvc repro evaluate@forecasting",
    "reports/evaluation/forecasting/usage.parquet": "dvc repro evaluate@forecasting",
    "reports/evaluation/forecasting/reduced.parquet": "dvc repro evaluate@forecasting",
    "reports/evaluation/forecasting/example.parquet": "dvc repro evaluate@forecasting",
    "reports/forecasting/etth1.csv": "python -m benchmarks.forecasting benchmarks/etth1.yaml",
    "reports/forecasting/etth1.json": "python -m benchmarks.forecasting benchmarks/etth1.yaml",
    "reports/metrics/ttnn_benchmark.json": "dvc repro ttnn_benchmark",
    "reports/latency/ttnn_benchmark.json": "dvc repro ttnn_benchmark",
    "docs/dag.svg": "python -m pipeline dag --write",
}
SETTINGS = Report(title="A title")


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A working directory with small results of all other stages."""
    write_results(tmp_path, genes=60, cells=200)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[str, str]:
    """The page and the results file of small results of all other stages."""
    root = tmp_path_factory.mktemp("results")
    write_results(root, genes=60, cells=200)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run(SETTINGS)
    return (root / REPORT).read_text(), (root / RESULTS).read_text()


def visible_text(html: str) -> str:
    body = html.partition("<body>")[2]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", body, flags=re.DOTALL)))


def test_the_page_answers_what_its_reader_asks(finished):
    text = visible_text(finished[0])
    assert text.strip().startswith(
        "Simulated data: Perturbations, Tissue, Forecasting. Measured data: Mixture of experts. A title"
    )
    assert text.index("It worked.") < text.index("The model against the baselines")
    assert "Simulated cells: real PBMC profiles, grown to 4,000 cells, with 3 perturbations of known effect." in text
    for expected in (
        "batch donor_3 has no cells of stress",  # a note of the data set
        "0123456789abcdef" * 4,  # the input's hash
        "not in a git repository",
        "vae.latent_intrinsic",
        "torch 2.",
        "perturbation mean",
        "Leave one cell type out Blood cells of two donors",  # the title of the measured data
        "python -m benchmarks.leave_one_out cells.h5ad --seeds 3",
        "What the scores mean",
        "Negative control",
        "cytokine in CD14+ Monocyte",
        "held out",
        "Simulated series: four channels of a plant over four months. A step is 1 hour.",
        "python -m benchmarks.forecasting benchmarks/etth1.yaml",
        "estimate: no card ran this",
        "the TTNN environment is not set up (make ttnn)",
    ):
        assert expected in text, expected


def test_the_same_results_give_the_same_bytes(finished, results):
    run(SETTINGS)
    assert (REPORT.read_text(), RESULTS.read_text()) == finished


def test_the_first_screen_has_every_system_with_its_answer_and_links(finished):
    html = finished[0]
    header = html.partition("</header>")[0]
    assert re.findall(r"<article.*?<h2>(.*?) <span>(.*?)</span>", header, re.DOTALL) == [
        ("Perturbations", "simulated"),
        ("Mixture of experts", "measured"),
        ("Tissue", "simulated"),
        ("Forecasting", "simulated"),
    ]
    assert re.findall(r'class="answer">(.*?)<', header) == [
        "It worked.",
        "No difference in calibration could be shown.",
        "It worked.",
        "It worked in part.",
    ]
    anchors = re.findall(r'<a href="#([^"]+)">Figures and tables</a>', header)
    assert anchors == ["scores", "moe", "spatial", "forecasting"]
    assert all(f'<section id="{anchor}">' in html for anchor in anchors)


def test_the_contents_name_every_chapter_below_its_system(finished):
    html = finished[0]
    contents = re.search(r"<nav.*?</nav>", html, re.DOTALL).group()
    assert re.findall(r"<h2>(.*?)</h2>", contents) == re.findall(r'<h2 class="part">(.*?)</h2>', html)
    assert re.findall(r'href="#([^"]+)"', contents) == re.findall(r'<section id="([^"]+)">', html)


def test_the_results_file_has_the_verdicts_and_tables_of_the_page(finished):
    html, text = finished
    shown = visible_text(html)
    assert "**It worked.** Simulated cells: real PBMC profiles" in text
    assert "On the 2 held-out groups, CFM-VC is ahead" in text
    assert "**It worked in part.** Simulated series: four channels" in text
    assert "**No difference in calibration could be shown.** Of 3 sparse points" in text
    verdict = re.search(r"Of 3 sparse points.*", text).group()
    assert verdict in shown
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len([line for line in lines if re.match(r"\| (dense|top 1|gumbel top 2|unbalanced) ", line)]) == 4 + 3
    assert "**It worked.** Simulated tissue: a cortex of five layers" in text
    assert len([line for line in lines if line.startswith("| AlphaSTomics ")]) == 2  # one for each task
    assert "### starmap_mpfc, one section left out" in text
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    # The systems; perturbations, experts (2), both tasks; of each measured data set four scores and the ablation; two
    # series; agreement and estimate.
    assert len(tables) == 1 + 3 + 2 + 2 * 5 + 2 + 2
    assert not re.search(r"p50|CPU|a processor", text)  # no times, which another machine would have otherwise
    for table in tables:  # each with as many columns in every row
        assert len({line.count(" |") for line in table.splitlines()}) == 1
    assert all("±" in line for line in lines if line.startswith("| dense"))
    assert not re.search(r"\b20\d\d-\d\d-\d\d|/tmp|/home", text)  # neither a date nor a machine's paths


def test_the_numbers_of_the_page_are_those_of_the_table(results):
    path = Path("reports/tables/perturbation.csv")
    table = pd.read_csv(path)
    table.loc[(table["method"] == "cfm_vc") & (table["metric"] == "pearson_change_top100"), "value"] = 0.123456
    table.to_csv(path, index=False)
    run(SETTINGS)
    text = visible_text(REPORT.read_text())
    assert "It worked in part." in text
    assert "behind the best baseline in Pearson top 100 (0.123 against" in text


def test_of_many_groups_a_handful_is_drawn_and_all_are_in_the_table(tmp_path, monkeypatch):
    groups = [(f"type {number}", "cytokine") for number in range(12)]
    write_results(tmp_path, held_out=groups, genes=60, cells=200)
    monkeypatch.chdir(tmp_path)
    run(SETTINGS)
    html = REPORT.read_text()
    assert "Drawn are the model's worst, median and best of 12 held-out groups" in visible_text(html)
    assert len(re.findall(r'<img[^>]*alt="(?:worst|median|best): ', html)) == 3 * 2 * 2  # change and cells, two methods
    for cell_type, _ in groups:
        assert f"cytokine in {cell_type} CFM-VC" in visible_text(html)


@pytest.mark.parametrize("path", INPUTS)
def test_a_missing_input_is_named_with_what_makes_it_and_the_old_report_stays(results, path):
    REPORT.write_text("the previous report")
    Path(path).unlink()
    with pytest.raises(ExpectedError) as caught:
        run(SETTINGS)
    assert path in str(caught.value)
    assert INPUTS[path] in str(caught.value)
    assert REPORT.read_text() == "the previous report"


@pytest.mark.parametrize("path", INPUTS)
def test_a_truncated_input_is_named(results, path):
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 3] if Path(path).suffix != ".csv" else b"")
    with pytest.raises(ExpectedError) as caught:
        run(SETTINGS)
    assert path in str(caught.value)


@pytest.mark.parametrize("path", [path for path in INPUTS if path.endswith((".csv", ".parquet"))])
def test_a_table_without_rows_or_without_a_column_is_named(results, path):
    read, write = {
        ".csv": (pd.read_csv, lambda frame: frame.to_csv(path, index=False)),
        ".parquet": (pd.read_parquet, lambda frame: frame.to_parquet(path, index=False)),
    }[Path(path).suffix]
    frame = read(path)
    if not path.endswith("sampled.parquet"):  # which has none where no gate is stochastic
        write(frame.iloc[:0])
        with pytest.raises(ExpectedError, match="has no rows"):
            run(SETTINGS)
    folder = str(Path(path).parent)
    needed = {"reports/curves": "epoch", "reports/tables": "metric", "reports/leave_one_out": "metric"}
    needed |= {"reports/curves/moe_sweep": "epoch", "reports/evaluation/moe": "point"}
    needed |= {"reports/evaluation/spatial": "section", "reports/forecasting": "metric"}
    needed |= {"reports/evaluation/forecasting": "horizon"}
    needed = needed.get(folder, "cell_type")
    write(frame.drop(columns=needed))
    with pytest.raises(ExpectedError, match=f"lacks {needed}"):
        run(SETTINGS)


def test_a_held_out_group_without_its_population_is_an_error(results):
    path = Path("reports/evaluation/perturbation/population.parquet")
    population = pd.read_parquet(path)
    population[population["cell_type"] != "CD19+ B"].to_parquet(path)
    with pytest.raises(ExpectedError, match=r"population.parquet: no control cells for inhibitor in CD19\+ B"):
        run(SETTINGS)


def test_labels_of_any_kind_survive(tmp_path, monkeypatch):
    hostile = ["<img src=x onerror=alert(1)>", 'B "naïve" & co', "NA", "007", "T" * 120]
    write_results(tmp_path, hostile, [(hostile[0], "cytokine"), ("NA", "stress"), ("007", "stress")], 60, 200)
    monkeypatch.chdir(tmp_path)
    run(SETTINGS)
    html = REPORT.read_text()
    assert "<img src=x" not in html
    text = visible_text(html)
    for label in hostile:
        assert label in text
    assert "stress in NA" in text
    assert "stress in 007" in text


def test_one_held_out_group_is_called_an_example(tmp_path, monkeypatch):
    write_results(tmp_path, held_out=[("CD19+ B", "inhibitor")], genes=60, cells=200)
    monkeypatch.chdir(tmp_path)
    run(SETTINGS)
    assert "One held-out group of 180 cells is an example, not a statistic." in visible_text(REPORT.read_text())


def test_the_stage_starts_without_torch():
    program = "import sys, pipeline.stages.report; sys.exit(bool({'torch', 'scanpy', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_an_expected_problem_is_one_message_and_exit_code_2(results):
    Path("reports/curves/vae.csv").unlink()
    result = subprocess.run(
        [sys.executable, "-m", "pipeline.stages.report"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""},
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: reports/curves/vae.csv not found")
    assert "Traceback" not in result.stderr
