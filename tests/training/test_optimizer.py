import math

import pytest
import torch
from torch import nn

from pipeline.params.optimisation import Optimisation
from pipeline.training.optimizer import Optimizer, learning_rate


def settings(**changes) -> Optimisation:
    values = {
        "learning_rate": 0.1,
        "weight_decay": 0.01,
        "gradient_clip": 1.0,
        "batch_size": 4,
        "epochs": 10,
        "patience": 10,
        "seed": 0,
        "threads": 1,
        "device": "cpu",
    }
    return Optimisation(**(values | changes))


def test_a_constant_rate_is_constant():
    assert {learning_rate(settings(), step, 7) for step in range(70)} == {0.1}


def test_a_cosine_rises_in_a_line_and_falls_to_nothing():
    rates = [learning_rate(settings(schedule="cosine", warmup_epochs=2), step, 5) for step in range(50)]
    assert rates[:10] == pytest.approx([0.01 * (step + 1) for step in range(10)])
    assert rates[10] == pytest.approx(0.1)
    assert rates[30] == pytest.approx(0.05)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 1e-3
    whole = [learning_rate(settings(schedule="cosine"), step, 5) for step in range(50)]
    assert whole == pytest.approx([0.05 * (1 + math.cos(math.pi * step / 50)) for step in range(50)])


@pytest.mark.parametrize(
    ("changes", "reference"),
    [
        ({}, lambda weights: torch.optim.AdamW(weights, lr=0.1, weight_decay=0.01)),
        (
            {"optimizer": "sgd", "momentum": 0.5},
            lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.5, weight_decay=0.01),
        ),
        ({"optimizer": "sgd", "momentum": 0.0}, lambda weights: torch.optim.SGD(weights, lr=0.1, weight_decay=0.01)),
    ],
)
def test_steps_are_those_of_torchs_own_optimizers(changes, reference):
    """Rates that change between steps, and a weight that never gets a gradient; AdamW: also one that gets it late."""
    ours = [nn.Parameter(torch.linspace(-1, 1, size)) for size in (3, 5, 2)]
    theirs = [nn.Parameter(weight.detach().clone()) for weight in ours]
    mine, torchs = Optimizer(ours, settings(**changes)), reference(theirs)
    for group in torchs.param_groups:
        group["fused"] = True
    draws = torch.Generator().manual_seed(0)
    for step in range(4):
        for pair in list(zip(ours, theirs, strict=True))[: 1 if step == 0 and not changes else 2]:
            gradient = torch.randn(pair[0].shape, generator=draws)
            for weight in pair:
                weight.grad = gradient.clone()
        rate = 0.1 / (step + 1)
        torchs.param_groups[0]["lr"] = rate
        mine.step(rate)
        torchs.step()
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not torch.equal(ours[1], torch.linspace(-1, 1, 5))
    assert torch.equal(ours[2], torch.linspace(-1, 1, 2))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_restored_optimizer_goes_on_to_the_same_bits(optimizer):
    def step(optimizer, weight, value):
        weight.grad = torch.full((2,), value)
        optimizer.step(0.1)

    whole, resumed = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    first = Optimizer([whole], settings(optimizer=optimizer))
    for value in (1.0, -3.0):
        step(first, whole, value)
    before = Optimizer([resumed], settings(optimizer=optimizer))
    step(before, resumed, 1.0)
    fresh = Optimizer([resumed], settings(optimizer=optimizer))
    fresh.load_state_dict(before.state_dict())
    step(fresh, resumed, -3.0)
    assert torch.equal(whole, resumed)

    forgetful = nn.Parameter(torch.ones(2))
    step(Optimizer([forgetful], settings(optimizer=optimizer)), forgetful, 1.0)
    step(Optimizer([forgetful], settings(optimizer=optimizer)), forgetful, -3.0)
    assert not torch.equal(whole, forgetful)  # so that what is remembered matters


def test_sgd_has_its_momentum_and_decay_as_torch_has_them():
    """v <- m v + g + d w, w <- w − r v: the first two steps by hand."""
    weight = nn.Parameter(torch.tensor([2.0]))
    optimizer = Optimizer([weight], settings(optimizer="sgd", momentum=0.5))
    w, v = 2.0, 0.0
    for gradient in (1.0, -3.0):
        weight.grad = torch.tensor([gradient])
        optimizer.step(0.1)
        v = 0.5 * v + gradient + 0.01 * w
        w -= 0.1 * v
        assert weight.item() == pytest.approx(w, rel=1e-6)


def test_adamw_decays_weights_beside_the_gradient():
    weight = nn.Parameter(torch.tensor([2.0]))
    optimizer = Optimizer([weight], settings())
    weight.grad = torch.tensor([0.5])
    optimizer.step(0.1)
    assert weight.item() == pytest.approx(2.0 * (1 - 0.1 * 0.01) - 0.1, rel=1e-5)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_factor_is_a_learning_rate_of_ones_own(optimizer):
    both = [nn.Parameter(torch.ones(2)) for _ in range(2)]
    alone = [nn.Parameter(torch.ones(2)) for _ in range(2)]
    together = Optimizer(both, settings(optimizer=optimizer), [10.0, 1.0])
    apart = [Optimizer([weight], settings(optimizer=optimizer)) for weight in alone]
    for value in (1.0, -3.0):
        for weight in (*both, *alone):
            weight.grad = torch.full((2,), value)
        together.step(0.01)
        for one, rate in zip(apart, (0.1, 0.01), strict=True):
            one.step(rate)
    assert all(torch.equal(one, other) for one, other in zip(both, alone, strict=True))
    assert not torch.equal(*both)
