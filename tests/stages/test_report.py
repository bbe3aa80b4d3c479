"""The report: from the files of the other stages, by way of chapters, to one page, or to one clear message."""

import json
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import pandas as pd
import pytest
import yaml

from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.mole.stages import chapter as mole_chapter
from pipeline.params.chapter import Chapter
from pipeline.params.report import Report
from pipeline.stages.report import run
from tests.report.drawn import CHAPTERS, STUDIES
from tests.report.simulated_results import write_results

REPORT = Path("reports/report.html")
RESULTS = Path("reports/RESULTS.md")
ROOT = Path(__file__).parents[2]


OF_THE_PAGE = {
    "docs/dag.svg": "python -m pipeline dag --write",
    **{str(at.chapter): f"dvc repro chapter@{at.system}-{at.study}" for at in STUDIES.values()},
}


@pytest.fixture
def finished(small_report) -> tuple[str, str]:
    """The page and the results file."""
    return (small_report / REPORT).read_text(), (small_report / RESULTS).read_text()


@pytest.fixture
def drawn(tmp_path, monkeypatch, small_report) -> Path:
    """A working directory with what the report stage reads and nothing else, and a report from before."""
    for path in [*OF_THE_PAGE, "params.yaml", "plan.yaml"]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(small_report / path, tmp_path / path)
    monkeypatch.chdir(tmp_path)
    REPORT.write_text("the previous report")
    return tmp_path


def join(*studies: str) -> None:
    run(Report(title="A title", studies=list(studies) or None))


def page_of_perturbations() -> str:
    """The page, of which the chapter on perturbations is drawn anew."""
    CHAPTERS["cfm_vc"]()
    join()
    return REPORT.read_text()


def visible_text(html: str) -> str:
    body = html.partition("<body>")[2]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", body, flags=re.DOTALL)))


def test_the_page_answers_what_its_reader_asks(finished):
    text = visible_text(finished[0])
    assert text.strip().startswith(
        "A title No commit: see What was run. Simulated data: CFM-VC · pbmc, AlphaSTomics · tissue, "
        "MoLE · series. Measured data: bayes-moe · digits."
    )
    assert text.index("It worked.") < text.index("Model and baselines")
    assert "Simulated cells: real PBMC profiles, grown to 4,000 cells, with 3 perturbations of known effect." in text
    for expected in (
        "batch donor_3 has no cells of stress",  # a note of the data set
        "0123456789abcdef" * 4,  # the input's hash
        "not a git repository",
        "cfm_vc.vae.latent_intrinsic",
        "torch 2.",
        "perturbation mean",
        "Measured cells: leave one cell type out Blood cells of two donors",  # the title of the measured data
        "(a fixture of the tests), other cells than in this run.",
        "python -m benchmarks.effects cells",
        "What the scores mean",
        "Negative control",
        "cytokine in CD14+ Monocyte",
        "held out",
        "Simulated series: four channels of a plant over four months. A step is 1 hour.",
        "python -m pipeline run etth1",
        "estimate: no card ran this",
        "the TTNN environment is not set up (make ttnn)",
    ):
        assert expected in text, expected


def test_the_same_chapters_give_the_same_bytes(finished, drawn):
    join()
    assert (REPORT.read_text(), RESULTS.read_text()) == finished


def test_the_first_screen_has_every_system_with_its_answer_and_links(finished):
    html = finished[0]
    header = html.partition("</header>")[0]
    assert re.findall(r"<article.*?<h2>(.*?) <span>(.*?)</span>", header, re.DOTALL) == [
        ("CFM-VC · pbmc", "simulated"),
        ("AlphaSTomics · tissue", "simulated"),
        ("bayes-moe · digits", "measured"),
        ("MoLE · series", "simulated"),
    ]
    assert re.findall(r'class="answer">(.*?)<', header) == [
        "It worked.",
        "It worked.",
        "No gain.",
        "It worked in part.",
    ]
    anchors = re.findall(r'<a href="#([^"]+)">Figures and tables</a>', header)
    assert anchors == ["pbmc-scores", "tissue-spatial", "digits-moe", "series-forecasting"]
    assert all(f'<section id="{anchor}">' in html for anchor in anchors)


def test_the_contents_name_every_chapter_below_its_system(finished):
    html = finished[0]
    contents = re.search(r"<nav.*?</nav>", html, re.DOTALL).group()
    titles = [title.partition(":")[0] for title in re.findall(r'<h2 class="part">(.*?)</h2>', html)]
    assert re.findall(r"<h2><a [^>]*>(.*?)</a></h2>", contents) == titles
    assert re.findall(r'<li><a href="#([^"]+)"', contents) == re.findall(r'<section id="([^"]+)">', html)


def test_the_results_file_has_the_verdicts_and_tables_of_the_page(finished):
    html, text = finished
    shown = visible_text(html)
    assert "**It worked.** Simulated cells: real PBMC profiles" in text
    assert "On the 2 held-out groups, CFM-VC is ahead" in text
    assert "**It worked in part.** Simulated series: four channels" in text
    assert "**No gain.** Of 3 sparse points" in text
    verdict = re.search(r"Of 3 sparse points.*", text).group()
    assert verdict in shown
    lines = [line for line in text.splitlines() if line.startswith("|")]
    named = re.compile(r"\| (dense|top 1|gumbel top 2|unbalanced) ")
    # Scores, differences, equivalents, and three scores to abstain by.
    assert len([line for line in lines if named.match(line)]) == 4 + 3 + 4 + 3 * 3
    assert "**It worked.** Simulated tissue: a cortex of five layers" in text
    assert len([line for line in lines if line.startswith("| AlphaSTomics ")]) == 3  # first screen, tasks
    assert "### starmap_mpfc, one section left out" in text
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    # The systems; perturbations, experts (5), both tasks; of each measured data set four scores and the ablation; two
    # series; agreement and estimate.
    assert len(tables) == 1 + 6 + 2 + 2 * 5 + 2 + 2
    assert not re.search(r"p50|CPU|a processor", text)  # no times, which another machine would have otherwise
    for table in tables:  # each with as many columns in every row
        assert len({line.count(" |") for line in table.splitlines()}) == 1
    assert all("±" in line for line in lines if line.startswith("| dense (dense twin)"))
    assert not re.search(r"\b20\d\d-\d\d-\d\d|/tmp|/home", text)  # neither a date nor a machine's paths


def test_the_numbers_of_the_page_are_those_of_the_table(drawn):
    write_results(drawn, genes=60, cells=200)
    path = Path("reports/cfm_vc/pbmc/results.csv")
    table = pd.read_csv(path)
    mean = (table["unit"] == "all") & (table["metric"] == "pearson_change_top100")
    table.loc[mean & (table["method"] == "cfm_vc"), "value"] = 0.123456
    table.loc[mean & (table["role"] == "difference"), ["value", "low", "high"]] = [-0.5, -0.6, -0.4]
    table.to_csv(path, index=False)
    text = visible_text(page_of_perturbations())
    assert "It worked in part." in text
    assert "behind the best baseline in Pearson top 100 (0.123 against" in text
    assert "difference -0.500, 95 % interval -0.600 to -0.400)" in text.replace("\N{MINUS SIGN}", "-")


def test_of_many_groups_a_handful_is_drawn_and_all_are_in_the_table(drawn):
    groups = [(f"type {number}", "cytokine") for number in range(12)]
    write_results(drawn, held_out=groups, genes=60, cells=200)
    html = page_of_perturbations()
    assert "Shown: the model's worst, median and best of 12 held-out groups" in visible_text(html)
    assert len(re.findall(r'<img[^>]*alt="(?:worst|median|best): ', html)) == 3 * 2 * 2  # change and cells, two methods
    for cell_type, _ in groups:
        assert f"cytokine in {cell_type} CFM-VC" in visible_text(html)


def test_labels_of_any_kind_survive(drawn):
    hostile = ["<img src=x onerror=alert(1)>", 'B "naïve" & co', "NA", "007", "T" * 120]
    write_results(drawn, hostile, [(hostile[0], "cytokine"), ("NA", "stress"), ("007", "stress")], 60, 200)
    html = page_of_perturbations()
    assert "<img src=x" not in html
    text = visible_text(html)
    for label in hostile:
        assert label in text
    assert "stress in NA" in text
    assert "stress in 007" in text


def test_one_held_out_group_is_called_an_example(drawn):
    write_results(drawn, held_out=[("CD19+ B", "inhibitor")], genes=60, cells=200)
    text = visible_text(page_of_perturbations())
    assert re.search(r"A single held-out group \(\d+ cells\) is an example, not a statistic\.", text)


def test_every_chapter_that_dvc_yaml_declares_has_its_place_in_the_page():
    chapter = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["chapter"]
    assert chapter["foreach"] == "${plan.studies}"
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    planned = yaml.safe_load((ROOT / "plan.yaml").read_text())["plan"]["studies"].values()
    declared = [(system, study) for system, section in params.items() for study in section.get("studies") or ()]
    assert [(entry["system"], entry["study"]) for entry in planned] == declared
    assert [(at.system, at.study) for at in STUDIES.values()] == declared
    for entry in planned:
        at = StudyPaths(entry["system"], entry["study"])
        outs = [re.sub(r"\$\{item\.(\w+)\}", lambda found: entry[found[1]], out) for out in chapter["do"]["outs"]]  # noqa: B023
        assert outs == [str(at.chapter), str(at.page)]


def test_studies_that_are_named_are_shown_and_no_others(drawn):
    """Whatever is not shown need not be there; their order is that of params.yaml."""
    STUDIES["cfm_vc"].chapter.unlink()
    STUDIES["bayes_moe"].chapter.unlink()
    join("series", "tissue")
    html, text = (path.read_text() for path in (REPORT, RESULTS))
    titles = ["AlphaSTomics · tissue", "MoLE · series", "This run"]
    assert [title.partition(":")[0] for title in re.findall(r'<h2 class="part">(.*?)</h2>', html)] == titles
    shown = visible_text(html)
    assert "Simulated data: AlphaSTomics · tissue, MoLE · series." in shown
    assert "Data of series Simulated: four channels" in shown
    assert "Data of pbmc" not in shown
    assert "CFM-VC" not in text
    assert "bayes-moe" not in text


def test_two_studies_of_a_system_stand_side_by_side(drawn):
    """Each with its own card, title and anchors, which no other has."""
    write_results(drawn, genes=60, cells=200)
    second = StudyPaths("mole", "second")
    shutil.copytree(STUDIES["mole"].reports, second.reports)
    shutil.copytree(STUDIES["mole"].raw, second.raw)
    mole_chapter.run(Chapter(inference=True, title="Wind & sun"), second)
    plan = yaml.safe_load(Path("plan.yaml").read_text())
    plan["plan"]["studies"]["mole-second"] = {"system": "mole", "study": "second"}
    Path("plan.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    join("series", "second")
    html = REPORT.read_text()
    assert re.findall(r"<article.*?<h2>(.*?) <span>", html, re.DOTALL) == ["MoLE · series", "MoLE · Wind &amp; sun"]
    assert "MoLE · Wind &amp; sun: forecasting</h2>" in html
    assert re.findall(r"(?m)^\| (MoLE [^|]*?) \|", RESULTS.read_text())[:2] == ["MoLE · series", "MoLE · Wind & sun"]
    anchors = re.findall(r'<section id="([^"]+)">', html)
    assert len(set(anchors)) == len(anchors)
    assert {anchor.partition("-")[0] for anchor in anchors} == {"series", "second", "run"}
    assert re.findall(r'<li><a href="#([^"]+)"', html) == anchors


def test_the_page_is_joined_from_the_chapters_in_their_order(drawn):
    """What each chapter's file holds stands in both texts as it is, and nothing but the run itself after it."""
    join()
    html, text = (path.read_text() for path in (REPORT, RESULTS))
    chapters = [json.loads(at.chapter.read_text()) for at in STUDIES.values()]
    parts = [f'<h2 class="part">{chapter["title"]}</h2>\n{chapter["sections"]}' for chapter in chapters]
    assert "".join(parts) + '<h2 class="part">This run</h2>\n' in html
    written = "\n\n".join(f"## {chapter['title']}\n\n{chapter['results']}" for chapter in chapters)
    assert text.endswith(written.replace("\N{NO-BREAK SPACE}", " ") + "\n")
    STUDIES["alphastomics"].chapter.write_text(json.dumps(chapters[1] | {"title": "Elsewhere"}))
    join()
    assert REPORT.read_text() == html.replace(
        ">AlphaSTomics · tissue: expression and position in tissue</h2>", ">Elsewhere</h2>"
    ).replace(">AlphaSTomics · tissue</a></h2>", ">Elsewhere</a></h2>")


@pytest.mark.parametrize("path", OF_THE_PAGE)
def test_a_missing_input_is_named_with_what_makes_it_and_the_old_report_stays(drawn, path):
    Path(path).unlink()
    with pytest.raises(ExpectedError) as caught:
        join()
    assert str(caught.value).startswith(f"{path} not found: `{OF_THE_PAGE[path]}` ")
    assert REPORT.read_text() == "the previous report"


@pytest.mark.parametrize("path", OF_THE_PAGE)
def test_a_truncated_input_is_named(drawn, path):
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 3])
    with pytest.raises(ExpectedError, match=re.escape(path)):
        join()
    assert REPORT.read_text() == "the previous report"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda chapter: chapter.pop("results"), "results: Field required"),
        (lambda chapter: chapter.update(colour="red"), "colour: Extra inputs are not permitted"),
        (lambda chapter: chapter.update(contents=[["no anchor"]]), "contents.0.1: Field required"),
        (lambda chapter: chapter["system"].update(standing="best"), "system.standing: Input should be"),
        (
            lambda chapter: chapter["system"].update(simulated="no"),
            "system.simulated: Input should be a valid boolean",
        ),
        (lambda chapter: chapter["system"]["numbers"][0].pop("rival"), "system.numbers.0.rival: Field required"),
    ],
)
def test_a_damaged_chapter_is_one_message_with_what_draws_it_anew(drawn, change, problem):
    path = STUDIES["bayes_moe"].chapter
    chapter = json.loads(path.read_text())
    change(chapter)
    path.write_text(json.dumps(chapter))
    with pytest.raises(ExpectedError, match=re.escape(problem)) as caught:
        join()
    assert str(caught.value).startswith(f"{path}: not a chapter: ")
    assert str(caught.value).endswith(": `dvc repro --force chapter@bayes_moe-digits` makes it anew")
    assert REPORT.read_text() == "the previous report"


def test_the_stage_starts_without_what_draws():
    heavy = "{'torch', 'scanpy', 'sklearn', 'matplotlib', 'pandas'}"
    program = f"import sys, pipeline.stages.report; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
