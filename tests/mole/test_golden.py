"""Programs through TTNN's golden functions, in TTNN's environment, which this makes where it can: once, in minutes."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from pipeline.core.errors import ExpectedError
from pipeline.mole.ttnn import environment
from pipeline.mole.ttnn.agreement import TARGETS, correlation
from pipeline.mole.ttnn.constants import constants_of, plan_of
from pipeline.mole.ttnn.environment import Job, do
from tests.mole.mixtures import KINDS, mixture, windows
from tests.mole.ttnn_environment import SETUP, ttnn_python

__all__ = ["ttnn_python"]  # a fixture

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)


def job(models, count: int = 40, **changes) -> Job:
    x_NCL, mark_NF = windows(models[0], count)
    names = [f"{model.config.backbone}_{model.config.offset}_{model.experts}" for model in models]
    told = {
        "plans": {name: plan_of(model.config, 1) for name, model in zip(names, models, strict=True)},
        "constants": {
            name: constants_of(model.config, model.state_dict()) for name, model in zip(names, models, strict=True)
        },
        "x_BCL": x_NCL,
        "mark_BF": mark_NF,
        "agreement": names,
        "data_types": list(TARGETS),
        "threads": 1,
    }
    return Job(**told | changes)  # type: ignore[arg-type]


def test_golden_functions_agree_with_the_model(ttnn_python, project) -> None:
    models = [mixture(*kind, experts=n, lookback=96, horizon=32) for kind in KINDS for n in (1, 4)]
    asked = job(models)
    done = do(asked, ttnn_python, "golden")
    assert done.result == {"ttnn": "0.81.1"}
    for model, name in zip(models, asked.agreement, strict=True):
        with torch.inference_mode():
            y_RH = model(asked.x_BCL, asked.mark_BF).flatten(0, 1)
            weight_RE = model.router_weights(asked.mark_BF).flatten(0, 1)
        for data_type, target in TARGETS.items():
            found_RH = done.outputs[f"{name}/{data_type}/y_RH"]
            # Rounded, and so not the same: bfloat16 has 8 bits.
            assert 1e-5 < float((found_RH - y_RH).abs().max() / y_RH.abs().max()) < 0.1
            assert correlation(found_RH, y_RH) >= target
            if model.experts > 1:
                assert correlation(done.outputs[f"{name}/{data_type}/weight_RE"], weight_RE) >= target
            else:
                assert f"{name}/{data_type}/weight_RE" not in done.outputs
    rounded = [done.outputs[f"dlinear_none_4/{data_type}/y_RH"] for data_type in TARGETS]
    assert not torch.equal(*rounded)


def test_top_k_experts_weigh_and_the_others_do_not_in_any_data_type(ttnn_python, project) -> None:
    model = mixture("rlinear", top_k=2)
    asked = job([model])
    done = do(asked, ttnn_python, "golden")
    for data_type in TARGETS:
        weight_RE = done.outputs[f"rlinear_none_4/{data_type}/weight_RE"]
        assert set((weight_RE > 0).sum(1).tolist()) <= {2, 3}  # 3 where rounding made two logits equal
        torch.testing.assert_close(weight_RE.sum(1), torch.ones(len(weight_RE)), atol=2e-2, rtol=0)


def test_answers_repeat_and_leave_nothing_behind(ttnn_python, project) -> None:
    before = sorted(path.name for path in ROOT.iterdir())
    found = [do(job([mixture("dlinear", "last")]), ttnn_python, "golden").outputs for _ in range(2)]
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert sorted(path.name for path in ROOT.iterdir()) == before


def test_no_device_opens_without_hardware(ttnn_python, project, monkeypatch) -> None:
    if environment.no_device() is None:
        pytest.skip("there is a Tenstorrent card or a simulator")
    monkeypatch.delenv(environment.SIMULATOR, raising=False)
    done = do(job([mixture("dlinear")]), ttnn_python, "device")
    assert done.outputs == {}
    assert done.result["unavailable"]


def test_an_unknown_data_type_ends_in_one_message(ttnn_python, project) -> None:
    with pytest.raises(ExpectedError, match="data type 'float8' is none of bfloat16, bfloat8_b; make it again with"):
        do(job([mixture("dlinear")], data_types=["float8"]), ttnn_python, "golden")


def test_an_environment_of_ones_own_is_recorded(ttnn_python, tmp_path) -> None:
    record = tmp_path / "installed.json"
    variables = os.environ | {"TTNN_PYTHON": str(ttnn_python)}
    subprocess.run([*SETUP, str(tmp_path / "none"), str(record)], env=variables, check=True, capture_output=True)
    found = json.loads(record.read_text())
    assert found["python"] == str(ttnn_python)
    assert found["ttnn"] == "0.81.1"
    assert not (tmp_path / "none").exists()


def test_the_lines_of_the_readme_take_an_environment_of_ones_own(ttnn_python, tmp_path) -> None:
    block = re.search(r"<!-- ttnn -->\n```\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block
    make, repro = block[1].splitlines()
    shutil.copy(ROOT / "Makefile", tmp_path)
    ignored = shutil.ignore_patterns("installed.json")
    shutil.copytree(ROOT / "envs" / "ttnn", tmp_path / "envs" / "ttnn", ignore=ignored)
    command = shlex.split(make.replace("/path/to/python", str(ttnn_python)))
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert json.loads((tmp_path / environment.INSTALLED).read_text())["python"] == str(ttnn_python)
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert str(environment.INSTALLED.parent) in stages[repro.removeprefix("dvc repro ").partition("@")[0]]["do"]["deps"]


@pytest.mark.parametrize(
    ("named", "message"),
    [("/nowhere/python", "is no program"), (sys.executable, "cannot import torch, safetensors and")],
)
def test_an_environment_without_ttnn_is_refused(named, message, tmp_path) -> None:
    record = tmp_path / "installed.json"
    variables = os.environ | {"TTNN_PYTHON": named}
    found = subprocess.run(
        [*SETUP, str(tmp_path / "none"), str(record)], env=variables, capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    assert message in found.stderr
    assert not record.exists()


def test_without_a_python_that_ttnn_is_published_for_setup_says_so(tmp_path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "cat", "cmp", "dirname"):
        (tools / tool).symlink_to(shutil.which(tool))
    (tools / "python3").symlink_to(sys.executable)  # too new, or too old
    found = subprocess.run(
        [*SETUP, str(tmp_path / "none")],
        env={"PATH": str(tools), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 2
    assert "TTNN needs Python 3.12 or 3.10, and neither is on the PATH" in found.stderr
    assert not (tmp_path / "none").exists()
