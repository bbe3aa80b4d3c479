"""ttnn_benchmark without TTNN's environment, with a damaged one and with a stand-in, on small mixtures."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from pipeline.core.errors import ExpectedError
from pipeline.core.files import read_json, write_json
from pipeline.core.paths import StudyPaths
from pipeline.core.sealed import write_sealed
from pipeline.mole.data.series import Series, write_series
from pipeline.mole.data.step import Step
from pipeline.mole.model.mixture import Mole, MoleConfig
from pipeline.mole.params.ttnn import Ttnn
from pipeline.mole.stages import ttnn_benchmark
from pipeline.mole.ttnn import benchmark, environment
from pipeline.mole.ttnn.cpu import compiled_times
from pipeline.mole.ttnn.environment import Done
from pipeline.plan import read_plan
from pipeline.training.weights import save_model
from tests.mole.ttnn_environment import ttnn_python
from tests.settled import settled

__all__ = ["ttnn_python"]  # a fixture

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
AT = StudyPaths("mole", "series")
SIZES = {"lookback": 16, "horizon": 8, "channels": 3, "experts": 2}
METRICS, LATENCY = AT.reports / "ttnn.json", AT.reports / "latency.json"
SMALL = {
    "points": ["mole_dlinear", "mole_rlinear"],
    "horizon": 8,
    "windows": 16,
    "batch_sizes": [1, 4],
    "compiled_batch_sizes": [],
    "experts": [1, 2, 3],
    "experts_batch_size": 32,
    "repeats": 5,
    "threads": 1,
}
SETTINGS = yaml.safe_load((ROOT / "params.yaml").read_text())["mole"]["ttnn"] | SMALL
NOT_SET_UP = "not measured: TTNN's environment is not set up (make ttnn)"


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A series of 3 channels, and three mixtures for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(environment.SIMULATOR, raising=False)
    rows, splits = 400, {"train": [0, 240], "validation": [240, 300], "test": [300, 400]}
    random = np.random.default_rng(0)
    value_TC = np.sin(np.arange(rows)[:, None] / 24 + np.arange(3)) + 0.1 * random.normal(size=(rows, 3))
    date_T = 3600 * np.arange(rows, dtype=np.int64)
    channels = ("a", "b", "c")
    raw = AT.raw
    raw.mkdir(parents=True)
    write_series(
        raw / "series.parquet",
        Series(date_T, value_TC, channels, Step(3600), {k: (a, b) for k, (a, b) in splits.items()}),
    )
    write_json(raw / "source.json", {"splits": splits, "channels": channels, "step_seconds": 3600})
    for backbone in ("dlinear", "rlinear", "rmlp"):
        folder = AT.models / f"mole_{backbone}"
        folder.mkdir(parents=True)
        for seed in (0, 1):
            torch.manual_seed(seed)
            save_model(folder / f"h8_seed{seed}", Mole(MoleConfig(backbone=backbone, **SIZES, kernel=5, hidden=4)), {})
        point = {"backbone": backbone, "experts": 2, "top_k": None}
        about = {
            "point": point,
            "lookback": {"8": 16},
            "validation_loss": {"8": {"0": 0.5, "1": 0.4}},
            "origins": {"8": []},
        }
        write_sealed(folder / "about.json", about)
    return tmp_path


def settings(**changes: object) -> Ttnn:
    return Ttnn(**SETTINGS | changes)


def configure(project: Path, **changes: object) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["mole"]["studies"]["series"]["sweep"] = {"recipe": {"horizons": [8]}}
    params["mole"]["ttnn"] = SETTINGS | changes
    (project / "params.yaml").write_text(yaml.safe_dump(params))


def process(project: Path, **changes: object) -> "subprocess.CompletedProcess[str]":
    """Of a study whose settings are changed where the stage reads them."""
    configure(project)
    settled(project)
    given = read_json(AT.settings)
    write_json(AT.settings, given | {"ttnn": given["ttnn"] | changes})
    variables = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"}
    return subprocess.run(
        [sys.executable, "-m", "pipeline.mole.stages.ttnn_benchmark", "series"],
        cwd=project,
        env=variables | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_the_environment_the_cpu_is_measured_and_the_rest_said_not_to_be(project) -> None:
    done = process(project)
    assert done.returncode == 0, done.stderr
    metrics, latency = read_json(METRICS), read_json(LATENCY)
    assert (metrics["horizon"], metrics["lookback"], metrics["channels"], metrics["windows"]) == (8, 16, 3, 16)
    for point in metrics["points"].values():
        assert point["golden"] == point["device"] == {"bfloat16": NOT_SET_UP, "bfloat8_b": NOT_SET_UP}
        assert point["mse"] > 0
    assert latency["machine"]["ttnn"] == NOT_SET_UP
    eager = [row for row in latency["rows"] if row["backend"] == "pytorch_eager" and row["point"] == "mole_dlinear"]
    assert [(row["experts"], row["trained"], row["batch"]) for row in eager] == [
        (2, True, 1),
        (2, True, 4),
        (2, True, 32),
        (1, False, 1),
        (1, False, 32),
        (3, False, 1),
        (3, False, 32),
    ]
    assert all(row["p50_ms"] <= row["p95_ms"] and row["sequences_per_second"] > 0 for row in eager)
    device = [row for row in latency["rows"] if row["backend"] == "ttnn_device"]
    assert {row["p50_ms"] for row in device} == {NOT_SET_UP}
    costs = latency["cost_of_experts"]["mole_rlinear"]
    assert list(costs["pytorch_eager"]["experts"]) == ["1", "2", "3"]
    assert costs["ttnn_device_bfloat16"]["experts"] == NOT_SET_UP


def test_metrics_hold_nothing_that_does_not_repeat(project) -> None:
    found = []
    for batch_sizes in (1, 2):
        ttnn_benchmark.run(settings(repeats=4 + batch_sizes), AT)
        found.append(METRICS.read_bytes())
    assert found[0] == found[1]


def test_the_best_seed_is_compared_on_evenly_spaced_test_windows(project) -> None:
    ttnn_benchmark.run(settings(), AT)
    cases = benchmark.cases_of(settings(), AT.models / "mole_dlinear")
    windows = benchmark.compared_windows(settings(), {"mole_dlinear": cases}, AT.raw)
    with torch.inference_mode():
        error = (cases[0].model(windows.x_NCL, windows.mark_NF) - windows.y_NCH).square().mean()
    assert read_json(METRICS)["points"]["mole_dlinear"]["mse"] == pytest.approx(float(error), rel=1e-5)
    assert torch.equal(windows.batch(20)[0][16:], windows.x_NCL[:4])


def test_what_is_compiled_is_timed_or_says_why_not(project, monkeypatch, tmp_path) -> None:
    model = Mole(MoleConfig(backbone="rlinear", **SIZES)).eval()
    inputs = torch.randn(1, 3, 16), torch.zeros(1, 4)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", (str(tmp_path / "no-compiler"),))
    torch._dynamo.reset()
    found = compiled_times(model, *inputs, 5)
    assert isinstance(found, str)
    assert found.startswith("torch.compile failed: ")
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 9}, "ttnn.horizon = 9: mole_dlinear was trained for 8"),
        ({"top_k": 3}, "top_k = 3 of 2 experts"),
        ({"points": ["mole_rmlp"]}, "no TTNN program of the backbone 'rmlp'"),
        ({"points": ["nothing"]}, "models/mole/series/nothing"),
    ],
)
def test_what_does_not_fit_the_forecasters_is_refused(project, changes, message) -> None:
    with pytest.raises(ExpectedError, match=message):
        ttnn_benchmark.run(settings(**changes), AT)
    assert not METRICS.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_types": ["float8"]}, "ttnn.data_types.0 = 'float8'"),
        ({"memory": "cache"}, "ttnn.memory = 'cache'"),
        ({"experts": [2, 4]}, "experts must hold 1"),
        ({"batch_sizes": [2, 2]}, "batch_sizes holds a value twice"),
        ({"top_k": 3}, "top_k = 3 of 2 experts"),
    ],
)
def test_bad_parameters_end_in_one_message_and_exit_code_2(project, changes, message) -> None:
    done = process(project, **changes)
    assert done.returncode == 2
    assert message.removeprefix("ttnn.") in done.stderr
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr
    if "top_k" not in changes:  # which only the trained forecasters contradict
        configure(project, **changes)
        with pytest.raises(ExpectedError) as caught:
            settled(project)
        assert message in str(caught.value)
        assert "mole.ttnn" in str(caught.value)


def test_only_forecasters_that_are_trained_are_measured(project) -> None:
    """What `inference` asks for fits the sweep before anything runs; without it nothing is asked."""
    for changes, message in (
        ({"points": ["mole_arima"]}, "mole.studies.series: ttnn.points names mole_arima, which is not among"),
        ({"horizon": 9}, "mole.studies.series: ttnn.horizon (9) is not among sweep.recipe.horizons"),
    ):
        configure(project, **changes)
        with pytest.raises(ExpectedError) as caught:
            settled(project)
        assert message in str(caught.value)
    configure(project, points=["mole_arima"], horizon=9)
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["mole"]["studies"]["series"]["inference"] = False
    Path("params.yaml").write_text(yaml.safe_dump(params))
    settled(project)
    assert read_plan()["inference"] == {}


def stand_in(project: Path, script: str) -> None:
    """An environment whose Python is this shell script."""
    python = project / "python"
    python.write_text("#!/bin/sh\n" + script)
    python.chmod(0o755)
    write_json(Path("envs/ttnn/installed.json"), {"python": str(python)})


@pytest.mark.parametrize(
    ("installed", "message"),
    [
        ("{", "envs/ttnn/installed.json is damaged"),
        ("[]", "it names no Python"),
        ('{"python": 3}', "it names no Python"),
        ('{"python": "gone/bin/python"}', "gone/bin/python, which does not exist: make it again with: make ttnn"),
    ],
)
def test_a_damaged_record_of_the_environment_is_refused(project, installed, message) -> None:
    record = Path("envs/ttnn/installed.json")
    record.parent.mkdir(parents=True)
    record.write_text(installed)
    with pytest.raises(ExpectedError, match=message):
        ttnn_benchmark.run(settings(), AT)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo first >&2; echo 'ImportError: no libfoo' >&2; exit 3", "exit code 3: ImportError: no libfoo; make it"),
        ("exit 1", "exit code 1: nothing on its standard error"),
        ("exit 0", "left no usable result"),
        ("echo '{' > \"$3/result.json\"", "left no usable result"),
    ],
)
def test_an_environment_that_fails_ends_in_one_message(project, script, message) -> None:
    stand_in(project, script)
    with pytest.raises(ExpectedError, match=message):
        ttnn_benchmark.run(settings(), AT)
    assert not METRICS.exists()


def answers(job, mode: str) -> Done:
    """The job done exactly, as if nothing was rounded."""
    from pipeline.mole.ttnn.programs import forecast, place_constants, place_inputs
    from tests.mole.torch_ops import TorchOps

    outputs = {}
    for case in job.agreement:
        plan = type(job.plans[case])(**vars(job.plans[case]) | {"batch": len(job.x_BCL)})
        ops = TorchOps()
        y_RH, weight_RE = forecast(
            ops, plan, place_constants(ops, plan, job.constants[case]), *place_inputs(ops, plan, job.x_BCL, job.mark_BF)
        )
        for data_type in job.data_types:
            outputs |= {f"{case}/{data_type}/y_RH": y_RH, f"{case}/{data_type}/weight_RE": weight_RE}
    result = {"ttnn": "9", "device": mode}
    return Done(result | {"timings": [{**row, "p50_ms": 2.0, "p95_ms": 3.0} for row in job.timings]}, outputs)


def test_what_the_environment_answers_fills_in(project, monkeypatch) -> None:
    stand_in(project, "exit 1")
    asked = []

    def do(job, python, mode):
        asked.append(mode)
        return answers(job, mode)

    monkeypatch.setattr(benchmark, "do", do)
    monkeypatch.setenv(environment.SIMULATOR, "simulator")
    ttnn_benchmark.run(settings(top_k=1), AT)
    assert asked == ["golden", "device"]
    metrics, latency = read_json(METRICS), read_json(LATENCY)
    for point in metrics["points"].values():
        assert point["top_k"] == 1
        for found in (*point["golden"].values(), *point["device"].values()):
            assert found["met"]
            assert found["pcc_outputs"] == pytest.approx(1, abs=1e-6)
            assert abs(found["mse_change"]) < 1e-5
    assert latency["machine"]["device"] == "device"
    device = [row for row in latency["rows"] if row["backend"] == "ttnn_device"]
    assert {(row["p50_ms"], row["p95_ms"]) for row in device} == {(2.0, 3.0)}
    assert latency["cost_of_experts"]["mole_dlinear"]["ttnn_device_bfloat8_b"]["experts"] == {"1": 1, "2": 1, "3": 1}
    assert latency["goals"]["mole_dlinear"]["ttnn_device_bfloat16"]["800 sequences/s under 15 ms"] is True


def test_golden_columns_fill_in_where_the_environment_is(ttnn_python, project) -> None:
    Path("envs/ttnn").mkdir(parents=True)
    shutil.copy(ROOT / environment.CLUSTER, environment.CLUSTER)
    write_json(environment.INSTALLED, {"python": str(ttnn_python)})
    ttnn_benchmark.run(settings(), AT)
    for point in read_json(METRICS)["points"].values():
        for found in point["golden"].values():
            assert found["met"]
            assert abs(found["mse_change"]) < 0.05 * point["mse"]
    assert read_json(LATENCY)["machine"]["ttnn"] == "0.81.1"


def test_a_device_that_does_not_open_is_not_measured(project, monkeypatch) -> None:
    stand_in(project, "exit 1")
    monkeypatch.setenv(environment.SIMULATOR, "simulator")

    def do(job, python, mode):
        return answers(job, mode) if mode == "golden" else Done({"ttnn": "9", "unavailable": "no compiler"}, {})

    monkeypatch.setattr(benchmark, "do", do)
    ttnn_benchmark.run(settings(), AT)
    said = "not measured: no device could be opened: no compiler"
    assert read_json(METRICS)["points"]["mole_dlinear"]["device"] == {"bfloat16": said, "bfloat8_b": said}
    assert json.dumps(read_json(LATENCY)).count(said) > 10


def test_a_card_is_looked_for_where_its_driver_shows_it(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv(environment.SIMULATOR, raising=False)
    monkeypatch.setattr(environment, "DRIVER", tmp_path / "absent")
    assert "there is no Tenstorrent card" in environment.no_device()
    monkeypatch.setattr(environment, "DRIVER", tmp_path)
    assert environment.no_device() is None
