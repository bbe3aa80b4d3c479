"""Adaptive layer norm and gates: they start as a plain norm and a closed gate, and each neighbourhood has its own."""

import torch

from pipeline.alphastomics.model.adaptive_norm import AdaptiveGate, AdaptiveNorm

B, N, D, C = 2, 3, 5, 4


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def plain_norm(x):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def test_they_start_as_a_plain_norm_and_a_closed_gate():
    x, condition = 3 * normal(B, N, D) + 1, normal(B, C, seed=1)
    torch.testing.assert_close(AdaptiveNorm(D, C)(x, condition), plain_norm(x))
    assert (AdaptiveGate(D, C)(x, condition) == 0).all()


def test_a_condition_scales_shifts_and_gates_the_cells_of_its_own_neighbourhood():
    norm, gate = AdaptiveNorm(D, C), AdaptiveGate(D, C)
    with torch.no_grad():
        for parameter in [*norm.parameters(), *gate.parameters()]:
            parameter.copy_(normal(*parameter.shape, seed=len(parameter)))
    x, condition = normal(B, N, D), normal(B, C, seed=1)
    normed, gated = norm(x, condition), gate(x, condition)
    for b in range(B):
        modulation = norm.modulation.weight @ condition[b] + norm.modulation.bias
        expected = plain_norm(x[b]) * (1 + modulation[D:]) + modulation[:D]
        torch.testing.assert_close(normed[b], expected)
        torch.testing.assert_close(gated[b], x[b] * (gate.gate.weight @ condition[b] + gate.gate.bias))
    elsewhere = condition.clone()
    elsewhere[1] += 1
    assert norm(x, elsewhere)[0].equal(normed[0])
    assert not torch.allclose(norm(x, elsewhere)[1], normed[1])


def test_a_closed_gate_learns():
    gate = AdaptiveGate(D, C)
    gate(normal(B, N, D), normal(B, C, seed=1)).sum().backward()
    assert gate.gate.weight.grad.abs().min() > 0
