"""Programs on a device, with a stand-in of TTNN: order, shapes, data types and memory; no card was at hand."""

import pytest
import torch

from pipeline.mole.ttnn import worker as child
from pipeline.mole.ttnn.constants import constants_of, plan_of
from pipeline.mole.ttnn.device_forecast import DeviceForecast, opened_device
from pipeline.mole.ttnn.device_ops import DeviceOps
from tests.mole.fake_ttnn import FakeTtnn
from tests.mole.mixtures import KINDS, mixture, windows


def forecaster(ttnn, device, model, batch, data_type="bfloat16", memory="dram", trace=True):
    constants = constants_of(model.config, model.state_dict())
    return DeviceForecast(ttnn, device, plan_of(model.config, batch), constants, data_type, memory, trace)


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("memory", ["dram", "l1", "sharded"])
@pytest.mark.parametrize(("backbone", "offset"), KINDS)
@pytest.mark.parametrize("top_k", [None, 2])
@pytest.mark.parametrize("data_type", ["bfloat16", "bfloat8_b"])
def test_every_minibatch_is_forecast_as_by_the_model(trace, memory, backbone, offset, top_k, data_type) -> None:
    model = mixture(backbone, offset, top_k=top_k, lookback=64, horizon=32)
    ttnn = FakeTtnn()
    with opened_device(ttnn) as device, torch.inference_mode():
        run = forecaster(ttnn, device, model, 32, data_type, memory, trace)
        x_NCL, mark_NF = windows(model, 96)
        for x_BCL, mark_BF in zip(x_NCL.split(32), mark_NF.split(32), strict=True):
            y_RH, weight_RE = run(x_BCL, mark_BF)
            torch.testing.assert_close(y_RH, model(x_BCL, mark_BF).flatten(0, 1), rtol=1e-3, atol=1e-3)
            expected_RE = model.router_weights(mark_BF).flatten(0, 1)
            torch.testing.assert_close(weight_RE, expected_RE, rtol=1e-4, atol=1e-5)
        run.close()
    assert ttnn.calls[0] == "open_device"
    assert ttnn.calls[-1] == "close_device"


def test_a_trace_replays_commands_and_moves_no_weight_again() -> None:
    model, ttnn = mixture("dlinear"), FakeTtnn()
    x_BCL, mark_BF = windows(model)
    with opened_device(ttnn) as device, torch.inference_mode():
        run = forecaster(ttnn, device, model, len(x_BCL))
        run(x_BCL, mark_BF)
        ttnn.calls.clear()
        run(x_BCL, mark_BF)
        run(x_BCL + 1, mark_BF)
        assert ttnn.calls == ["copy", "copy", "execute_trace"] * 2
        run.close()


def test_sharded_memory_puts_rows_on_cores_and_is_not_used_elsewhere() -> None:
    model = mixture("dlinear", lookback=64, horizon=32)
    found = {}
    for memory in ("dram", "sharded"):
        ttnn = FakeTtnn()
        with opened_device(ttnn) as device, torch.inference_mode():
            run = forecaster(ttnn, device, model, 32, memory=memory, trace=False)
            run(*windows(model, 32))
            ops = DeviceOps(ttnn, device, "bfloat16", memory)
            # 96 rows are 3 tiles: one for each of 3 cores; 64 x 32 rows are 64 tiles, more than cores.
            assert ops._rows_on_cores(96, 40) == ("sharded", 3, (32, 64))
            assert ops._rows_on_cores(2048, 32) == ("sharded", 32, (64, 32))
        found[memory] = ttnn.calls.count("to_memory_config")
    assert found["dram"] == 0
    assert found["sharded"] > 0


@pytest.mark.parametrize(("data_type", "memory"), [("float8", "dram"), ("bfloat16", "cache")])
def test_unknown_data_types_and_memories_are_refused(data_type, memory) -> None:
    with pytest.raises(ValueError, match="is none of"):
        DeviceOps(FakeTtnn(), None, data_type, memory)


def job(model, **changes):
    case = {key: value for key, value in vars(plan_of(model.config, 1)).items() if key != "batch"}
    told = {"cases": {"one": case}, "agreement": ["one"], "data_types": ["bfloat16"], "memory": "dram", "trace": True}
    return told | {"repeats": 5, "timings": [{"case": "one", "batch": 7, "data_type": "bfloat16"}]} | changes


def test_the_process_times_and_compares_on_the_device() -> None:
    model, ttnn = mixture("rlinear"), FakeTtnn()
    x_NCL, mark_NF = windows(model)
    constants = {"one": constants_of(model.config, model.state_dict())}
    with torch.inference_mode():
        result, outputs = child.on_device(ttnn, job(model), constants, {"x_BCL": x_NCL, "mark_BF": mark_NF})
        torch.testing.assert_close(
            outputs["one/bfloat16/y_RH"], model(x_NCL, mark_NF).flatten(0, 1), rtol=1e-4, atol=1e-4
        )
    assert result["device"] == "wormhole_b0"
    (row,) = result["timings"]
    assert row["batch"] == 7
    assert 0 < row["p50_ms"] <= row["p95_ms"]


def test_a_device_that_does_not_open_is_told_with_its_reason_and_an_error_on_one_is_an_error() -> None:
    model = mixture("rlinear")
    constants = {"one": constants_of(model.config, model.state_dict())}
    inputs = dict(zip(("x_BCL", "mark_BF"), windows(model), strict=True))
    found = child.on_device(FakeTtnn(opens=False), job(model), constants, inputs)
    assert found == ({"unavailable": "sfpi not found"}, {})
    broken = FakeTtnn()
    broken.softmax = None  # type: ignore[assignment,method-assign]
    with pytest.raises(TypeError):
        child.on_device(broken, job(model), constants, inputs)
    assert broken.calls[-1] == "close_device"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("plain", "plain"),
        ("", "no reason given"),
        ("a: b\ninfo:\n\nwhy\nbacktrace:", "why"),
        ("info:", "no reason given"),
    ],
)
def test_first_reason(message, reason) -> None:
    assert child.first_reason(message) == reason
