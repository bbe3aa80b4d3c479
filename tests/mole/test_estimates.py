"""What is counted and estimated from shapes, and what times and correlations say."""

import pytest
import torch

from pipeline.mole.ttnn.agreement import Reference, agreement
from pipeline.mole.ttnn.constants import constants_of, plan_of
from pipeline.mole.ttnn.count_ops import CountOps, Sized
from pipeline.mole.ttnn.goals import meets
from pipeline.mole.ttnn.roofline import CARDS, Card, estimate, rooflines
from pipeline.mole.ttnn.stopwatch import Times, timed
from pipeline.mole.ttnn.time_rows import cost_of_experts, goals_met, row_of
from tests.mole.mixtures import mixture


def by_hand(batch: int, data_type: str) -> tuple[int, int]:
    """FLOPs and bytes of DLinear alone, L 64, H 32, C 2, in tiles of 32 x 32: R = 2 B rows."""
    tile = {"bfloat16": 2048, "bfloat8_b": 1088}[data_type]
    rows = -(-2 * batch // 32)  # tiles
    flops = bytes_ = 0
    # trend = x @ average (64 -> 64); rest = x - trend; rest @ seasonal (64 -> 32); trend @ trend' + bias; sum
    for columns, inner, bias in ((2, 2, 0), (1, 2, 0), (1, 2, 1)):
        flops += 2 * (rows * 32) * (inner * 32) * (columns * 32)
        bytes_ += (rows * inner + inner * columns + bias + rows * columns) * tile
    for columns in (2, 1):
        flops += rows * 32 * columns * 32
        bytes_ += 3 * rows * columns * tile
    return flops, bytes_


@pytest.mark.parametrize("data_type", ["bfloat16", "bfloat8_b"])
@pytest.mark.parametrize("batch", [1, 16, 17, 512])
def test_an_estimate_is_what_counting_by_hand_gives(batch, data_type) -> None:
    model = mixture("dlinear", experts=1, lookback=64, horizon=32, channels=2)
    card = Card(100, {"bfloat16": 1, "bfloat8_b": 1}, "", "")
    found = estimate(card, plan_of(model.config, batch), constants_of(model.config, model.state_dict()), data_type)
    flops, bytes_ = by_hand(batch, data_type)
    seconds = max(flops / 1e12, bytes_ / 100e9)
    assert found.flops_per_sequence * batch == pytest.approx(flops)
    assert found.bytes_per_sequence * batch == pytest.approx(bytes_)
    assert found.latency_ms == pytest.approx(seconds * 1e3)
    assert found.sequences_per_second == pytest.approx(batch / seconds)
    assert found.bound == ("memory" if bytes_ / 100e9 >= flops / 1e12 else "compute")


def test_the_slower_of_memory_and_arithmetic_decides() -> None:
    model = mixture("rlinear")
    constants, plan = constants_of(model.config, model.state_dict()), plan_of(model.config, 64)
    slow_memory = estimate(Card(1, {"bfloat16": 1000}, "", ""), plan, constants, "bfloat16")
    slow_arithmetic = estimate(Card(1000, {"bfloat16": 0.001}, "", ""), plan, constants, "bfloat16")
    assert (slow_memory.bound, slow_arithmetic.bound) == ("memory", "compute")
    twice = estimate(Card(2, {"bfloat16": 1000}, "", ""), plan, constants, "bfloat16")
    assert twice.latency_ms == pytest.approx(slow_memory.latency_ms / 2)


def test_more_experts_need_more_and_all_operations_are_counted() -> None:
    ops, x = CountOps("bfloat8_b"), Sized(33, 4, "bfloat16")
    assert (x.tiles, x.bytes) == (2, 4096)
    assert ops.reshape(x, 4, 33).tiles == 2
    assert ops.narrow(x) == x
    assert ops.narrow(x._replace(data_type="bfloat8_b")).data_type == "bfloat16"
    for top_k in (None, 2):
        flops = [
            estimate(CARDS["n150"], plan_of(m.config, 8), constants_of(m.config, m.state_dict()), "bfloat16")
            for m in (mixture("rlinear", experts=n, top_k=top_k) for n in (4, 8, 16))
        ]
        assert flops[0].flops_per_sequence < flops[1].flops_per_sequence < flops[2].flops_per_sequence


def test_rooflines_are_labelled_and_name_their_sources() -> None:
    model = mixture("dlinear")
    constants = constants_of(model.config, model.state_dict())
    found = rooflines({"one": (model.config, constants)}, [1, 64, 256], [1, 256], ["bfloat16", "bfloat8_b"])
    assert "not a measurement" in found["label"]
    assert all("docs.tenstorrent.com" in card["source"] for card in found["cards"].values())
    assert found["goals"]["800 sequences/s under 15 ms"]["one"]["n150"]["bfloat8_b"] is True
    assert set(found["points"]["one"]["p150"]["bfloat16"]) == {"1", "256"}


def test_goals_need_rate_and_latency_at_one_batch_size() -> None:
    assert meets([(900, 14.0)], 800, 15)
    assert not meets([(900, 16.0), (700, 10.0)], 800, 15)
    assert not meets([], 800, 15)


def test_timed_calls_after_warming_up() -> None:
    calls: list[int] = []
    found = timed(lambda: calls.append(1), 7)
    assert len(calls) == 10
    assert found.p50 <= found.p95


def rows(backend: str, times: dict[int, Times | str], dtype: str = "float32", trained: int = 4):
    return [row_of("a", n, n == trained, backend, dtype, 256, time) for n, time in times.items()]


def test_rows_tell_what_experts_cost_and_which_goals_are_met() -> None:
    table = rows("eager", {1: Times(2, 3), 4: Times(5, 14)})
    table += rows("device", {1: "no card", 4: "not measured: no card"}, "bfloat16")
    table += rows("compiled", {4: Times(256, 300)})
    assert table[1]["sequences_per_second"] == pytest.approx(51200)
    assert table[2]["p50_ms"] == table[3]["p95_ms"] == "not measured: no card"
    costs = cost_of_experts(table, 256)["a"]
    assert costs == {
        "eager": {"batch": 256, "experts": {"1": 1.0, "4": 2.5}},
        "device_bfloat16": {"batch": 256, "experts": "not measured: no card"},
    }
    assert cost_of_experts(table, 1) == {}
    goals = goals_met(table)["a"]
    assert set(goals["eager"].values()) == {True}
    assert set(goals["device_bfloat16"].values()) == {"not measured: no card"}
    assert set(goals["compiled"].values()) == {False}


def test_agreement_of_the_same_numbers_and_of_others() -> None:
    torch.manual_seed(0)
    y_RH, weight_RE, truth_RH = torch.randn(20, 6), torch.rand(20, 4).softmax(1), torch.randn(20, 6)
    reference = Reference(y_RH, weight_RE, truth_RH)
    same = agreement(reference, {"p/y_RH": y_RH, "p/weight_RE": weight_RE}, "p", "bfloat16")
    assert same["pcc_outputs"] == pytest.approx(1)
    assert same["pcc_router"] == pytest.approx(1)
    assert same["mse_change"] == 0
    assert same["met"]
    noisy = {"p/y_RH": y_RH, "p/weight_RE": torch.rand(20, 4)}
    other = agreement(reference, noisy, "p", "bfloat8_b")
    assert other["pcc_router"] < 0.9
    assert not other["met"]
    off = agreement(reference, {"p/y_RH": y_RH + 1, "p/weight_RE": weight_RE}, "p", "bfloat8_b")
    assert off["pcc_outputs"] == pytest.approx(1)  # a correlation does not see a shift
    assert off["mse_change"] == pytest.approx(float((y_RH + 1 - truth_RH).square().mean()) - reference.mse, rel=1e-4)


def test_what_does_not_vary_has_no_correlation_and_one_expert_no_router() -> None:
    y_RH = torch.randn(20, 6)
    flat = Reference(y_RH, torch.full((20, 4), 0.25), y_RH)
    found = agreement(flat, {"p/y_RH": torch.zeros(20, 6), "p/weight_RE": torch.full((20, 4), 0.25)}, "p", "bfloat16")
    assert found["pcc_outputs"] == "not measured: outputs do not vary"
    assert found["pcc_router"] == "not measured: router weights do not vary"
    assert not found["met"]
    alone = agreement(Reference(y_RH, None, y_RH), {"p/y_RH": y_RH}, "p", "bfloat16")
    assert alone["pcc_router"] == "not measured: one expert has no router"
    assert alone["met"]
