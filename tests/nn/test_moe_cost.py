import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.nn.moe.cost import activated_parameters, flops, parameters
from pipeline.nn.moe.layer import MixtureOfExperts


def grouped_mm_flops(a_shape, b_shape, *_args, **_options) -> int:
    rows, inner = a_shape
    return 2 * rows * inner * b_shape[-1]


def counted(layer, x) -> int:
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten._grouped_mm: grouped_mm_flops}) as counter:
        layer(x)
    return counter.get_total_flops()


@pytest.mark.parametrize("dispatch", ["sorted", "grouped", "loop"])
@pytest.mark.parametrize(("experts", "k", "outputs"), [(4, 1, None), (8, 2, None), (2, 2, 12)])
def test_arithmetic_is_what_pytorch_counts(dispatch, experts, k, outputs):
    layer = MixtureOfExperts(16, 64, experts, k, outputs=outputs, dispatch=dispatch).eval()
    assert flops(layer, 300) == counted(layer, torch.randn(300, 16))


def test_with_all_experts_everything_is_activated_and_a_share_of_them_costs_a_share():
    layers = {k: MixtureOfExperts(16, 64, 4, k) for k in (1, 2, 4)}
    assert activated_parameters(layers[4]) == parameters(layers[4])
    gate = 16 * 4
    assert activated_parameters(layers[1]) - gate == (parameters(layers[4]) - gate) / 4
    dense = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16))
    with FlopCounterMode(display=False) as counter:
        dense(torch.randn(100, 16))
    assert flops(layers[2], 100) - 2 * 100 * gate == counter.get_total_flops() / 2
