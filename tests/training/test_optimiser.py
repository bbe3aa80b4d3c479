import math

import pytest
import torch
from torch import nn

from pipeline.params.optimisation import Optimisation
from pipeline.training.optimiser import learning_rate, make_optimizer


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


def test_sgd_has_its_momentum_and_decay_as_torch_has_them():
    """v <- m v + g + d w, w <- w − r v: the first two steps by hand."""
    weight = nn.Parameter(torch.tensor([2.0]))
    optimizer = make_optimizer([weight], settings(optimizer="sgd", momentum=0.5))
    w, v = 2.0, 0.0
    for gradient in (1.0, -3.0):
        weight.grad = torch.tensor([gradient])
        optimizer.step()
        v = 0.5 * v + gradient + 0.01 * w
        w -= 0.1 * v
        assert weight.item() == pytest.approx(w, rel=1e-6)


def test_adamw_decays_weights_beside_the_gradient():
    weight = nn.Parameter(torch.tensor([2.0]))
    optimizer = make_optimizer([weight], settings())
    weight.grad = torch.tensor([0.5])
    optimizer.step()
    assert weight.item() == pytest.approx(2.0 * (1 - 0.1 * 0.01) - 0.1, rel=1e-5)
