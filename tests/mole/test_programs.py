"""The programs beside the model, in float32: the same numbers, by matrices only."""

import ast
from pathlib import Path

import pytest
import torch

from pipeline.core.errors import ExpectedError
from pipeline.mole.ttnn.constants import constants_of, plan_of
from pipeline.mole.ttnn.programs import forecast, place_constants, place_inputs
from tests.mole.mixtures import KINDS, mixture, windows
from tests.mole.torch_ops import TorchOps

BACKENDS = Path(__file__).parents[2] / "pipeline" / "mole" / "ttnn"
IN_OTHER_PYTHON = ("__init__", "device_forecast", "device_ops", "golden_ops", "ops", "programs", "stopwatch", "worker")


def run(model, x_BCL, mark_BF):
    ops, plan = TorchOps(), plan_of(model.config, len(x_BCL))
    placed = place_constants(ops, plan, constants_of(model.config, model.state_dict()))
    with torch.inference_mode():
        return forecast(ops, plan, placed, *place_inputs(ops, plan, x_BCL, mark_BF))


@pytest.mark.parametrize(("backbone", "offset"), KINDS)
@pytest.mark.parametrize(("experts", "top_k"), [(4, None), (4, 1), (4, 3), (4, 4), (2, 1)])
def test_a_program_forecasts_what_the_model_forecasts(backbone, offset, experts, top_k) -> None:
    model = mixture(backbone, offset, experts, top_k)
    x_BCL, mark_BF = windows(model)
    y_RH, weight_RE = run(model, x_BCL, mark_BF)
    with torch.inference_mode():
        torch.testing.assert_close(y_RH, model(x_BCL, mark_BF).flatten(0, 1), rtol=1e-4, atol=1e-4)
        expected_RE = model.router_weights(mark_BF).flatten(0, 1)
    torch.testing.assert_close(weight_RE, expected_RE, rtol=1e-5, atol=1e-6)
    assert torch.equal(weight_RE == 0, expected_RE == 0)


@pytest.mark.parametrize(("backbone", "offset"), KINDS)
def test_one_expert_has_no_router(backbone, offset) -> None:
    model = mixture(backbone, offset, experts=1)
    x_BCL, mark_BF = windows(model)
    y_RH, weight_RE = run(model, x_BCL, mark_BF)
    assert weight_RE is None
    with torch.inference_mode():
        torch.testing.assert_close(y_RH, model(x_BCL, mark_BF).flatten(0, 1), rtol=1e-4, atol=1e-4)


def test_a_backbone_without_a_program_and_too_large_a_top_k_are_refused() -> None:
    with pytest.raises(ExpectedError, match="no TTNN program of the backbone 'rmlp'"):
        plan_of(mixture("rmlp").config, 1)
    with pytest.raises(ExpectedError, match="top_k = 5 of 4 experts"):
        plan_of(mixture("dlinear").config.model_copy(update={"top_k": 5}), 1)


@pytest.mark.parametrize("name", IN_OTHER_PYTHON)
def test_what_the_other_python_imports_is_python_3_10_and_imports_no_more_than_it_has(name) -> None:
    tree = ast.parse((BACKENDS / f"{name}.py").read_text(encoding="utf-8"), feature_version=(3, 10))
    imported = [
        node.module if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    ours = {f"pipeline.mole.ttnn.{other}" for other in IN_OTHER_PYTHON}
    known = {
        "torch",
        "numpy",
        "safetensors",
        "collections",
        "contextlib",
        "dataclasses",
        "importlib",
        "json",
        "pathlib",
    }
    known |= {"sys", "time", "typing"}
    assert not [module for module in imported if module not in ours and module.split(".")[0] not in known]
