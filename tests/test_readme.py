"""Every command of the README runs, in a fresh clone in another folder, in the order in which a reader meets them."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import yaml

from pipeline import cli
from pipeline.alphastomics.data.folds import folds
from pipeline.alphastomics.data.sections import read_sections
from pipeline.alphastomics.stages import ingest, preprocess
from pipeline.commands.catalogue import read_catalogue
from pipeline.core import paths
from pipeline.core.paths import StudyPaths
from pipeline.data.store import open_store
from pipeline.mole.data.scaler import fit_scaler
from pipeline.mole.data.series import read_series
from pipeline.mole.data.windows import windows_of
from pipeline.mole.stages import ingest as ingest_series
from pipeline.params.reading import validated
from pipeline.registry import Params
from tests.fresh_clone import FENCE, commands_in_text, fresh_clone, run, shown_otherwise, single_words, spans
from tests.merged import merge
from tests.mole.ttnn_environment import ttnn_python

__all__ = ["ttnn_python"]  # a fixture

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINKS = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip() and not line.startswith("#")
]
INLINE = commands_in_text(README)
(RESOURCES,) = (option for option in spans(README) if option.startswith("--set-resources"))
PREDICTED = [option for option in spans(README) if option.startswith(("--dose", "--perturbation"))]  # of predict
RUN_APART = {"make test", "make ui"}
SHORT = {"vae.epochs": 2, "flow.epochs": 2, "evaluate.bootstrap_replicates": 10}  # of CFM-VC, where it is run again
LAUNCHES = [command for command in INLINE if command.startswith(("accelerate ", "torchrun "))]  # on another study below
RUN_ELSEWHERE = {  # where, by words of that file
    "--set": ("tests/commands/test_study_commands.py", '"--set"'),
    "--temp": ("tests/tracking/test_experiments.py", '"--temp"'),
    "--queue": ("tests/tracking/test_experiments.py", '"--queue"'),
    "--model FOLDER": ("tests/cfm_vc/test_use_commands.py", '"--model"'),
    "--version": ("tests/test_package.py", '"--version"'),
    "--quiet": ("tests/test_package.py", '"--quiet"'),
    "source <(celldag completion bash)": ("tests/test_package.py", "celldag completion [^`]+"),
}
PROGRAMS_NAMED = {
    "snakemake",
    "test",
    "flock",
    "squeue",
    "tmux",
    "kubectl",
    "scancel",
    "celldag",
}  # not to be called so
NO_COMMANDS = {"device: cuda", "precision: bfloat16", "counts: auto", "held_out: []", "processes: 2"}
MINUS = "\N{MINUS SIGN}"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fresh_clone(tmp_path_factory.mktemp("readme") / "celldag")


@pytest.fixture(scope="module")
def made(clone: Path) -> Path:
    """The clone after the first command, which runs the default DAG."""
    assert COMMANDS[0] == "make run"
    run("make run", clone)
    return clone


@pytest.mark.parametrize("path", sorted(set(LINKS)))
def test_every_file_linked_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_results_of_the_readme_are_the_committed_headlines() -> None:
    """Committed, since a run on another processor changes digits of the files in the working tree."""
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", "HEAD", "reports"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    headlines = []
    for name in listed:
        if Path(name).parent.name == "headlines":
            show = ["git", "show", f"HEAD:{name}"]
            headlines.append(json.loads(subprocess.run(show, cwd=ROOT, capture_output=True, check=True).stdout))
    (table,) = re.findall(r"<!-- headlines -->\n((?:\|.*\n)+)", README)
    rows = [
        re.findall(rf"[{MINUS}+]?\d+\.\d+", row.partition("|")[2].partition("|")[2].partition("|")[2])
        for row in table.splitlines()[2:]
    ]
    assert len(rows) == len(headlines)
    for row in rows:
        decimals = len(row[0].partition(".")[2])
        found = [float(number.replace(MINUS, "-")) for number in row]
        keys = ("score", "baseline", "gain", "gain_low", "gain_high")
        assert found in [[round(one[key], decimals) for key in keys] for one in headlines], row


@pytest.mark.slow
def test_every_command_runs_in_order(made: Path) -> None:
    for command in dict.fromkeys([*COMMANDS[1:], *INLINE]):
        if command in {*RUN_APART, *LAUNCHES, COMMANDS[0]}:
            continue
        if "--profile profiles/" in command:  # on clusters: tests/engines/test_slurm.py and test_kubernetes.py
            for options in ("", RESOURCES) if "slurm" in command else ("",):
                assert "vae_pretrain@pbmc-held_out-0" in run(f"{command} --dry-run --forceall {options}", made)
            continue
        short = "".join(f" -S cfm_vc.{name}={value}" for name, value in SHORT.items())
        run(re.sub("^dvc exp run", f"dvc exp run{short}", command), made)
    assert (made / "reports" / "report.html").stat().st_size > 50_000


@pytest.mark.slow
def test_a_second_run_has_nothing_to_do(made: Path) -> None:
    assert "Nothing to be done" in run("make run", made)
    assert "Data and pipelines are up to date" in run("dvc repro", made)


@pytest.mark.slow
def test_a_colleague_has_the_results_without_running_anything(made: Path, tmp_path: Path) -> None:
    for command in shown("remote").replace("/path/to/shared/folder", str(tmp_path / "shared")).splitlines():
        run(command, made)
    run("git -c user.name=a -c user.email=a@b commit --quiet --all --allow-empty --message results", made)
    run(f"git clone --quiet . {tmp_path / 'theirs'}", made)
    (tmp_path / "theirs/.venv").symlink_to(made / ".venv")
    run("dvc pull", tmp_path / "theirs")
    assert (tmp_path / "theirs/reports/report.html").read_bytes() == (made / "reports/report.html").read_bytes()
    assert "Nothing to be done" in run("snakemake --cores 2", tmp_path / "theirs")
    assert "Data and pipelines are up to date" in run("dvc repro", tmp_path / "theirs")


@pytest.mark.slow
def test_the_server_command_serves_on_loopback_only(made: Path) -> None:
    assert "make ui" in COMMANDS
    makefile = (made / "Makefile").read_text()
    assert "--host 127.0.0.1 --port 5000" in makefile
    port = free(5000)
    (made / "Makefile").write_text(makefile.replace("--port 5000", f"--port {port}"))
    with serving("make ui", made) as server:
        assert b"<title>MLflow</title>" in fetch_when_up(f"http://127.0.0.1:{port}/", server)


@pytest.mark.slow
def test_mlflow_serves_a_model_and_answers(made: Path) -> None:
    port = free(5001)
    serve, ask = shown("serve").replace("5001", str(port)).replace("\\\n", "").splitlines()
    with serving(serve, made) as server:
        fetch_when_up(f"http://127.0.0.1:{port}/ping", server)
        answer = run(f"{ask} --silent", made)
    (cell,) = json.loads(answer)["predictions"]
    genes = [value for name, value in cell.items() if name != "provenance"]
    assert len(genes) > 100
    assert sum(genes) > 0


@pytest.mark.slow
def test_ttnn_is_set_up_and_measured(made: Path, ttnn_python: Path) -> None:
    for command in shown("ttnn").replace("/path/to/python", str(ttnn_python)).splitlines():
        run(command, made)
    measured = json.loads((made / "reports/mole/series/ttnn.json").read_text())
    for point in measured["points"].values():
        assert all(golden["met"] for golden in point["golden"].values())


@contextmanager
def serving(command: str, folder: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """A server, as a reader starts it in the activated environment; ended with all its processes."""
    server = subprocess.Popen(
        ["bash", "-c", f"source .venv/bin/activate && {command}"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield server
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)


def free(port: int) -> int:
    """This port, or another where it is taken."""
    for number in (port, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    pytest.fail("no port is free")


def fetch_when_up(url: str, server: "subprocess.Popen[bytes]") -> bytes:
    for _ in range(600):  # half a second each: `make ui` mirrors all runs first
        assert server.poll() is None, "the server ended by itself"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bytes(answer.read())
        except OSError:  # refused, or not answering yet: URLError and timeouts are such
            try:
                server.wait(0.5)
            except subprocess.TimeoutExpired:
                continue
    pytest.fail(f"{url} did not answer")


@pytest.mark.slow
def test_a_study_is_drafted_from_a_file_and_run_to_its_page(made: Path) -> None:
    params = (made / "params.yaml").read_text()
    short = params.replace("    epochs: 100\n", "    epochs: 2\n").replace("    epochs: 40\n", "    epochs: 2\n")
    (made / "params.yaml").write_text(short.replace("bootstrap_replicates: 200 ", "bootstrap_replicates: 10 "))
    lab_file("cells.h5ad", made, ("B cells", "T cells"))
    for command in shown("new").splitlines():
        run(command, made)
    assert (made / "reports/pages/cfm_vc-cells.html").stat().st_size > 50_000
    table = pd.read_csv(made / "reports/cfm_vc/cells/results.csv")
    assert {f"stim in {name}" for name in ("B cells", "T cells")} < set(table["unit"])
    (made / "params.yaml").write_text(params)


@pytest.mark.slow
def test_your_own_data_in_five_lines(made: Path) -> None:
    """The README's yaml, merged into params.yaml, runs on an h5ad with those columns."""
    params = yaml.safe_load((made / "params.yaml").read_text())
    params["cfm_vc"]["studies"] = yaml.safe_load(shown("own-data"))["cfm_vc"]["studies"]
    for name, value in {**SHORT, "vae.processes": 2}.items():
        section, key = name.split(".")
        params["cfm_vc"][section][key] = value
    (made / "params.yaml").write_text(yaml.safe_dump(params))
    lab_file(params["cfm_vc"]["studies"]["kang"]["ingest"]["path"], made)
    run(shown("own-data-tracked").strip(), made)
    run("python -m pipeline run", made)
    table = pd.read_csv(made / "reports/cfm_vc/kang/results.csv")
    assert set(table["unit"]) == {"stim in B cells", "all"}
    for command in shown("predict").splitlines():
        run(command, made)
    assert anndata.read_h5ad(made / "predicted.h5ad").uns["celldag"]["arguments"]["perturbation"] == "stim"
    (made / "example.py").write_text(shown("predict-python"))
    run("python example.py", made)
    weights = made / "models/cfm_vc/kang/held_out/seed_0/vae/weights.safetensors"
    of_snakemake = weights.read_bytes()
    run("dvc repro --force --single-item vae_pretrain@kang-held_out-0", made)
    assert weights.read_bytes() == of_snakemake
    params["cfm_vc"]["vae"]["processes"] = 1  # a launcher's number of processes is its own
    (made / "params.yaml").write_text(yaml.safe_dump(params))
    run("python -m pipeline.stage code", made)
    launches = [launch.replace("pbmc", "kang") for launch in LAUNCHES]
    assert len(launches) == 2
    for command in launches:
        assert "epoch 2/2" in run(command, made)
        assert weights.read_bytes() == of_snakemake
    alone = "python -m pipeline.stage cfm_vc.vae_pretrain kang-held_out-0"
    assert "accelerate has started one process" in run(
        f"accelerate launch --cpu --num_processes 2 -m {alone[10:]}", made
    )
    assert weights.read_bytes() != of_snakemake  # the control: one process rounds in another order


@pytest.mark.slow
def test_a_training_outside_the_dag(made: Path) -> None:
    train, compare = shown("train").splitlines()
    run(f"{train} -S epochs=2", made)  # one more than those of warm-up
    assert (made / "outputs" / "full").is_dir()
    assert "moe_8_choose_2" in run(compare, made)


def test_every_block_is_run_by_a_test() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    fences = FENCE.findall(README)
    assert README.count("```") == 2 * len(fences)
    names = [name for name, _, _ in fences if name]
    assert len(set(names)) == len(names)
    for name, kind, text in fences:
        assert kind in ("", "sh", "yaml", "python"), text
        if kind == "sh":  # by test_every_command_runs_in_order, or one of its own
            assert set(filter(None, text.splitlines())) <= set(COMMANDS)
        else:
            assert f'shown("{name}")' in here, text
    assert not shown_otherwise(FENCE.sub("", README))
    assert single_words(README) <= PROGRAMS_NAMED


def test_every_command_and_option_in_the_text_is_run_by_a_test() -> None:
    found = set(spans(README))
    assert not [span for span in found if "\n" in span]
    assert found == {*INLINE, *PREDICTED, RESOURCES, *RUN_ELSEWHERE, *NO_COMMANDS}
    for path, words in RUN_ELSEWHERE.values():
        assert words in (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_tests_are_run_as_the_readme_says(made: Path) -> None:
    """One file of them."""
    assert "make test" in COMMANDS
    assert "passed" in run("PYTEST_ADDOPTS='tests/test_files.py -v' make test", made)


def test_the_pictures_of_the_readme_are_valid_parameters_of_a_data_set_of_the_catalogue() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    changes = yaml.safe_load(shown("images"))
    merge(params, changes)
    study = validated(Params, params, "README.md").bayes_moe.studies["cifar10"]
    entry = read_catalogue(ROOT / paths.CATALOGUE)["cifar10"]
    assert study.ingest.path == str(paths.FETCHED / entry.file)
    assert f"md5:{study.ingest.md5}" == entry.hash
    assert (ROOT / study.ingest_ood.path).exists()


def test_more_lines_on_your_own_data_are_valid_where_the_readme_puts_them() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    before, last, after = shown("own-data").partition("        control: ctrl\n")
    merge(params, yaml.safe_load(before + last + shown("own-data-columns") + after))
    ingest = validated(Params, params, "README.md").cfm_vc.studies["kang"].ingest
    assert (ingest.combination, ingest.spatial) == ("+", "spatial")
    assert ingest.dose is not None


def test_your_own_tissue_as_the_readme_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines, merged into params.yaml, take three sections to a store with the third held out."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    merge(params, yaml.safe_load(shown("own-tissue")))
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    obs = pd.DataFrame({"section": [f"section_{n // 200 + 1}" for n in range(600)], "cell_type": ["A", "B"] * 300})
    obs.index = obs.index.map("cell{}".format)
    counts = random.poisson(3.0, (600, 30)).astype(np.float32)
    anndata.AnnData(counts, obs, obsm={"spatial": random.random((600, 2))}).write_h5ad("sections.h5ad")
    study = validated(Params, params, "README.md").alphastomics.studies["cortex"]
    at = StudyPaths("alphastomics", "cortex", "held_out", 0)
    ingest.run(study.ingest, at)
    preprocess.run(folds(study, at.key)["held_out"].preprocess, at)
    assert {section.name for section in read_sections(open_store(at.store, "spatial"), "test")} == {"section_3"}


def test_your_own_series_as_the_readme_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines, merged into params.yaml, are valid, and take a CSV file to a series that is long enough for them."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    changes = yaml.safe_load(shown("own-series"))
    merge(params, changes)
    monkeypatch.chdir(tmp_path)
    dates = pd.date_range("2025-01-01", periods=3000, freq="h", name="date")
    values = np.random.default_rng(0).random((3000, 2))
    pd.DataFrame(values, dates, ["load", "wind"]).to_csv("load.csv")
    study = validated(Params, params, "README.md").mole.studies["load"]
    at = StudyPaths("mole", "load")
    ingest_series.run(study.ingest, at)
    series = read_series(at.raw)
    assert series.channels == ("load", "wind")
    assert series.splits["test"] == (2400, 3000)
    for horizon in study.sweep.recipe.horizons:
        for split in series.splits:
            assert len(windows_of(series, fit_scaler(series), split, study.sweep.recipe.lookback, horizon))


def test_the_ways_to_forecast_run_as_they_are_shown(
    series_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With small models, of other horizons."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(series_project / "models", "models")
    series = read_series(series_project / "data/raw/mole/series")
    dates = pd.Index(series.date_T.astype("datetime64[s]"), name="date")
    pd.DataFrame(series.value_TC, dates, list(series.channels)).to_csv("new.csv")
    for command in shown("forecast").replace("--horizon 96", "--horizon 6").splitlines():
        called(command)
    names: dict[str, Any] = {}
    exec(shown("forecast-python"), names)
    written = pd.read_csv("forecast.csv", float_precision="round_trip")
    np.testing.assert_array_equal(names["forecast"][written.columns[1:]], written.iloc[:, 1:])
    assert len(written) == 12
    banded = pd.read_csv("intervals.csv", float_precision="round_trip")
    assert banded.shape == (12, 1 + 5 * 5)
    ends = [name for name in banded if name.endswith("-90")]
    np.testing.assert_array_equal(names["forecast"][ends], banded[ends])
    assert Path("forecast.svg").exists()
    assert len(pd.read_csv("more_rows.csv")) == 200
    assert pd.read_csv("cutoffs.csv").shape == (4 * 5 * 12, 4 + 3)
    assert pd.read_csv("experts.csv").shape == (6, 1 + 5 * 4)
    assert Path("forecast.csv.json").exists()


def shown(name: str) -> str:
    """The block of the README that follows the comment of this name."""
    (text,) = (text for named, _, text in FENCE.findall(README) if named == name)
    return str(text)


def called(command: str) -> None:
    """Call a command of the pipeline in this process."""
    python, module, package, *words = shlex.split(command)
    assert (python, module, package) == ("python", "-m", "pipeline")
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 0


def test_the_ways_to_predict_run_as_they_are_shown(
    saved_cfm_vc: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a small model whose treatments are A and B, in place of stim."""
    monkeypatch.chdir(tmp_path)
    saved_cfm_vc(Path("models/cfm_vc/kang/held_out/seed_0"))
    counts = np.random.default_rng(0).poisson(3.0, (20, 12)).astype(np.float32)
    anndata.AnnData(counts, var=pd.DataFrame(index=[f"gene{g}" for g in range(12)])).write_h5ad("cells.h5ad")
    for command in shown("predict").replace("stim", "B").splitlines():
        called(command)
    assert len(PREDICTED) == 2
    for number, option in enumerate(PREDICTED):
        asked = option if "--perturbation" in option else f"--perturbation B {option}"
        called(f"python -m pipeline predict --data cells.h5ad --out {number}.h5ad {asked}")
    names: dict[str, Any] = {}
    exec(shown("predict-python").replace("stim", "B"), names)
    predicted = anndata.read_h5ad("predicted.h5ad")
    assert (names["predicted"].X != predicted.X).nnz == 0
    np.testing.assert_array_equal(names["decoded"].X, anndata.read_h5ad("decoded.h5ad").X)


def test_the_ways_to_place_cells_run_as_they_are_shown(
    tissue_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a small model."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tissue_project / "models", "models")
    every = anndata.read_h5ad(tissue_project / "data/raw/alphastomics/tissue/cells.h5ad")
    every[np.arange(0, 2000, 20)].copy().write_h5ad("cells.h5ad")
    for command in shown("sample").splitlines():
        called(f"{command} --steps 10 --num-samples 2")
    names: dict[str, Any] = {}
    exec(shown("sample-python").replace('="section"', '="section", steps=10, draws=2'), names)
    placed = anndata.read_h5ad("placed.h5ad")
    np.testing.assert_array_equal(names["placed"].obsm["spatial"], placed.obsm["spatial"])
    expressed, drawn = anndata.read_h5ad("expressed.h5ad"), anndata.read_h5ad("drawn.h5ad")
    assert expressed.layers["expression"].shape == (len(placed), every.n_vars)
    assert len(drawn) == 2 * len(placed)


def lab_file(name: str, folder: Path, cell_types: tuple[str, ...] = ("B cells", "T cells", "Monocytes")) -> None:
    """A small h5ad as a lab would have it: cell types x 2 conditions, the donor hidden in the sample's name."""
    generator = np.random.default_rng(0)
    obs = pd.DataFrame(
        [(cell_type, group, f"{group}{donor}") for cell_type in cell_types
         for group in ("ctrl", "stim") for donor in (101, 107) for _ in range(60)],
        columns=["cluster_id", "group_id", "sample_id"],
    )  # fmt: skip
    obs.index = obs.index.map("cell{}".format)
    profile = generator.gamma(0.5, 4.0, (len(cell_types), 300))[obs["cluster_id"].astype("category").cat.codes]
    profile = profile * np.where(np.arange(300) < 30, 1 + 3 * (obs["group_id"] == "stim").to_numpy()[:, None], 1)
    counts = scipy.sparse.csr_matrix(generator.poisson(profile).astype(np.float32))
    genes = pd.DataFrame(index=[f"gene{i}" for i in range(300)])
    anndata.AnnData(counts, obs=obs, var=genes).write_h5ad(folder / name)
