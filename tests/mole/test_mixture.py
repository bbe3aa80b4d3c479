"""Mixtures of linear experts: the packed fast form against experts one by one, gradients included."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import pad

from benchmarks.router_cache import RouterCache
from pipeline.mole.model.cost import forecast_cost
from pipeline.mole.model.expert_pruning import by_service, pruned
from pipeline.mole.model.mixture import ForecastObjective, Mole, MoleConfig, start_from
from pipeline.mole.model.mixture_scores import Variant, variants_of

L, H, C, E, KERNEL, B = 12, 5, 3, 4, 5, 6
KINDS = {  # backbone and offset
    "dlinear": ("dlinear", "none"),
    "dlinear last": ("dlinear", "last"),
    "dlinear mean": ("dlinear", "mean"),
    "rlinear": ("rlinear", "mean"),
    "rlinear level": ("rlinear", "none"),
    "rmlp": ("rmlp", "mean"),
}
BACKBONES = tuple(KINDS)
LEVELLED = tuple(kind for kind, (_, offset) in KINDS.items() if offset != "none")


def mole(backbone, experts=E, seed=0, **changes):
    torch.manual_seed(seed)
    backbone, offset = KINDS[backbone]
    sizes = {"lookback": L, "horizon": H, "channels": C, "experts": experts, "kernel": KERNEL, "hidden": 7}
    model = Mole(MoleConfig(backbone=backbone, offset=offset, **sizes, **changes))
    if not model.decomposes:  # a norm that does something
        with torch.no_grad():
            model.norm.scale_C.copy_(torch.tensor([0.5, 1.5, 2.0]))
            model.norm.shift_C.copy_(torch.tensor([0.3, -0.2, 0.1]))
    return model.double()


def windows(batch=B, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(batch, C, L, generator=generator, dtype=torch.float64).cumsum(2) + 5
    return x, torch.rand(batch, 4, generator=generator, dtype=torch.float64) - 0.5


def moving_average(row):
    """Of one series, as the paper has it: the ends repeated, then means."""
    reach = KERNEL // 2
    padded = pad(row[None, None], (reach, reach), mode="replicate")[0, 0]
    return torch.stack([padded[place : place + KERNEL].mean() for place in range(len(row))])


def reference(model, x, mark):
    """Window by window, channel by channel, expert by expert."""
    out = torch.zeros(len(x), C, H, dtype=x.dtype)
    for b in range(len(x)):
        if model.router is None:
            weight = torch.ones(C, 1, dtype=x.dtype)
        else:
            first, _, second = model.router
            hidden = (first.weight @ mark[b] + first.bias).relu()
            weight = (second.weight @ hidden + second.bias).view(C, model.experts).softmax(1)
        for c in range(C):
            offset = {"none": 0, "last": x[b, c, -1], "mean": x[b, c].mean()}[model.config.offset]
            for e in range(model.experts):
                rows = slice(e * H, (e + 1) * H)
                row = x[b, c] - offset
                if model.decomposes:
                    trend = moving_average(row)
                    y = model.seasonal.weight[rows] @ (row - trend) + model.seasonal.bias[rows]
                    y = y + model.trend.weight[rows] @ trend + model.trend.bias[rows] + offset
                else:
                    deviation = (row.var(correction=0) + 1e-5).sqrt()
                    scaled = row / deviation * model.norm.scale_C[c] + model.norm.shift_C[c]
                    if model.mlp is not None:
                        scaled = scaled + model.mlp(scaled)
                    y = model.linear.weight[rows] @ scaled + model.linear.bias[rows]
                    y = (y - model.norm.shift_C[c]) / (model.norm.scale_C[c] + 1e-10) * deviation + offset
                out[b, c] = out[b, c] + weight[c, e] * y
    return out


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("experts", [1, 2, 16])
@pytest.mark.parametrize("batch", [2, 6])  # fewer series than rows of a lookback, and more
def test_the_packed_form_is_the_experts_one_by_one(backbone, experts, batch):
    model = mole(backbone, experts)
    x, mark = windows(batch)
    fast, slow = model(x, mark), reference(model, x, mark)
    torch.testing.assert_close(fast, slow)
    weights = list(model.parameters())
    aim = torch.randn(fast.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found, expected = (torch.autograd.grad(((y - aim) ** 2).sum(), weights) for y in (fast, slow))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_an_expert_alone_is_the_mixture_with_all_weight_on_it(backbone):
    model = mole(backbone).eval()
    x, _ = windows()
    heads = model.heads(x)
    for expert in range(E):
        weight = torch.zeros(B, C, E, dtype=torch.float64)
        weight[:, :, expert] = 1
        torch.testing.assert_close(model.alone(heads, expert), model.mixed(heads, weight))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_starts_from_a_map_and_one_that_subtracts_a_level_if_its_rows_sum_to_1(backbone):
    model = mole(backbone)
    if model.norm is not None and not model.decomposes:  # as it is made
        model.norm = type(model.norm)(C, model.norm.centred)
    weight = torch.randn(H, L, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    if backbone in LEVELLED:
        weight[:, -1] += 1 - weight.sum(1)
    start_from(model, weight)
    x, mark = windows()
    torch.testing.assert_close(model(x, mark), x @ weight.T, rtol=1e-5, atol=1e-4)  # the weights are stored in float32


def test_a_norm_makes_a_forecast_follow_the_level_and_a_decomposition_alone_does_not():
    x, mark = windows()
    for backbone in BACKBONES:
        model = mole(backbone)
        moved = model(x + 100, mark) - model(x, mark)
        assert torch.allclose(moved, torch.full_like(moved, 100.0), atol=1e-3) == (backbone in LEVELLED)


def test_router_weights_sum_to_1_in_each_channel_and_depend_on_the_time_alone():
    model = mole("dlinear").eval()
    _, mark = windows()
    weight = model.router_weights(mark)
    assert weight.shape == (B, C, E)
    torch.testing.assert_close(weight.sum(2), torch.ones(B, C, dtype=torch.float64))
    assert not torch.allclose(weight[0], weight[1])
    assert not torch.allclose(weight[0, 0], weight[0, 1])  # each channel has its own
    assert (mole("dlinear", 1).router_weights(mark) == 1).all()


def test_top_k_leaves_the_largest_weights_and_nothing_of_the_others():
    full, sparse = mole("rlinear").eval(), mole("rlinear", top_k=2).eval()
    _, mark = windows()
    weight, kept = full.router_weights(mark), sparse.router_weights(mark)
    assert ((kept > 0).sum(2) == 2).all()
    largest = weight.sort(2, descending=True).values[:, :, :2]
    expected = largest / largest.sum(2, keepdim=True)
    torch.testing.assert_close(kept.sort(2, descending=True).values[:, :, :2], expected)
    torch.testing.assert_close(mole("rlinear", top_k=E).eval().router_weights(mark), weight)


def test_head_dropout_takes_out_weights_in_training_alone_and_never_all_of_a_channel():
    model = mole("rlinear", head_dropout=0.9)
    mark = windows(200)[1]
    weight = model.router_weights(mark, torch.Generator().manual_seed(0))
    torch.testing.assert_close(weight.sum(2), torch.ones(200, C, dtype=torch.float64))
    dropped = (weight == 0).double().mean()
    # Of 4 heads all go with chance 0.9^4 = 0.66, and then none does: 0.9 - 0.66 of the weights are left out.
    assert abs(dropped - (0.9 - 0.9**4)) < 0.05
    assert (model.eval().router_weights(mark) > 0).all()
    with pytest.raises(TypeError, match="generator"):
        model.train().router_weights(mark)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("top_k", [None, 2])
def test_a_pruned_model_is_the_model_whose_router_leaves_experts_out(backbone, top_k):
    model = mole(backbone, top_k=top_k).eval()
    x, mark = windows()
    order = [2, 0, 3, 1]
    variants = variants_of(E, order)
    for count in range(1, E):
        logit = variants[Variant("prune", count)](model.router_logits(mark))
        masked = model.mixed(model.heads(x), model.weights_of(logit))
        smaller = pruned(model, order[:count])
        assert smaller.experts == count
        torch.testing.assert_close(smaller.double()(x, mark), masked, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="distinct experts"):
        pruned(model, [0, 4])
    with pytest.raises(ValueError, match="distinct experts"):
        pruned(model, [])


def test_a_variant_with_fewer_experts_per_window_is_a_model_with_that_top_k():
    model = mole("dlinear").eval()
    x, mark = windows()
    for count in range(1, E):
        logit = variants_of(E, [0, 1, 2, 3])[Variant("top_k", count)](model.router_logits(mark))
        expected = mole("dlinear", top_k=count).eval()(x, mark)
        torch.testing.assert_close(model.mixed(model.heads(x), model.weights_of(logit)), expected)


def test_experts_are_ordered_by_service_and_of_equals_the_first_comes_first():
    assert by_service(torch.tensor([0.2, 0.5, 0.1, 0.2])) == [1, 0, 3, 2]


def test_a_cache_gives_the_routers_own_weights_and_works_each_time_stamp_out_once():
    model = mole("rlinear").eval()
    x, mark = windows()
    stamp = torch.tensor([10, 20, 10, 30, 20, 10])
    mark = mark[[0, 1, 0, 3, 1, 0]]  # equal stamps have equal features
    cache = RouterCache(model)
    torch.testing.assert_close(cache.weights(stamp, mark), model.router_weights(mark))
    assert len(cache) == 3
    asked = []
    model.router.register_forward_hook(lambda *_: asked.append(1))
    torch.testing.assert_close(cache.forecast(x, stamp, mark), model.mixed(model.heads(x), cache.weights(stamp, mark)))
    assert not asked
    cache.weights(torch.tensor([40, 10]), windows()[1][:2])
    assert len(cache) == 4
    assert asked == [1]
    with pytest.raises(ValueError, match="training mode"):
        RouterCache(mole("rlinear"))


def test_the_loss_is_the_mean_squared_error():
    from pipeline.mole.data.resident_windows import WindowBatch

    model = mole("dlinear").eval()
    x, mark = windows()
    truth = torch.zeros(B, C, H, dtype=torch.float64)
    batch = WindowBatch(torch.arange(B), x, truth, mark, torch.zeros(B, dtype=torch.int64))
    parts = ForecastObjective(model)(batch, torch.Generator())
    assert parts.keys() == {"loss"}
    assert math.isclose(float(parts["loss"].detach()), float((model(x, mark) ** 2).mean().detach()))


def test_cost_is_what_the_layers_multiply():
    flops = []
    for backbone in BACKBONES:  # the decomposition has two products, and the MLP two more than one
        model = mole(backbone)
        counted = sum(
            2 * layer.weight.numel() * (1 if name.startswith("router") else C)
            for name, layer in model.named_modules()
            if isinstance(layer, nn.Linear)
        )
        cost = forecast_cost(model)
        assert cost["flops"] == counted + 2 * C * E * H
        assert cost["parameters"] == sum(weight.numel() for weight in model.parameters())
        flops.append(cost["flops"])
    assert flops[0] == flops[1] == flops[2] > flops[3] == flops[4] < flops[5]
