"""Attention among cells against loops over pairs with the weights written out, values and gradients."""

import math

import pytest
import torch
from torch.nn.functional import elu, softplus

from pipeline.alphastomics.model.attention import Nearness, NeighbourhoodAttention, linear_attention, softmax_attention

B, H, N, F, V, D = 2, 3, 7, 4, 5, 12
FAST = {"softmax": softmax_attention, "linear": linear_attention}
SPACES = [2, 3]
ALL = torch.ones(B, N, dtype=torch.bool)
SOME = torch.tensor([[True] * 7, [True, False, True, True, False, True, False]])


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inputs(space, cells=N):
    """Query, key, value, position, near: each with a gradient."""
    parts = [
        normal(B, H, cells, F),
        normal(B, H, cells, F, seed=1),
        normal(B, H, cells, V, seed=2),
        normal(B, cells, space, seed=3),
        normal(B, H, seed=4).square() * 3,
    ]
    return [part.requires_grad_() for part in parts]


def weight(kind, query_F, key_F, from_S, to_S, near):
    """Of one cell for another, before the weights of a cell are made to sum to 1."""
    if kind == "softmax":
        return torch.exp(query_F @ key_F / math.sqrt(F) - near * (from_S - to_S).square().sum() / 2)
    return (1 + elu(query_F)) @ (1 + elu(key_F)) / F + near * (from_S @ to_S + 1) ** 2


def slow(kind, query, key, value, position, near, mask):
    rows = torch.zeros_like(value)
    for b in range(value.shape[0]):
        real = mask[b].nonzero()[:, 0].tolist()
        for h in range(H):
            for i in real:
                each = torch.stack(
                    [
                        weight(kind, query[b, h, i], key[b, h, j], position[b, i], position[b, j], near[b, h])
                        for j in real
                    ]
                )
                rows[b, h, i] = (each / each.sum()) @ value[b, h, real]
    return rows


def gradients(output, parts, mask):
    """Of a random sum of what real cells gathered."""
    loss = (output * normal(*output.shape, seed=9) * mask[:, None, :, None]).sum()
    return torch.autograd.grad(loss, parts)


@pytest.mark.parametrize("kind", FAST)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("mask", [ALL, SOME], ids=["full", "padded"])
def test_values_and_gradients_are_those_of_the_weights_written_out(kind, space, mask):
    parts = inputs(space)
    found, expected = FAST[kind](*parts, mask), slow(kind, *parts, mask)
    real = mask[:, None, :, None].expand_as(found)
    torch.testing.assert_close(found[real], expected[real])
    for one, other in zip(gradients(found, parts, mask), gradients(expected, parts, mask), strict=True):
        assert one.abs().max() > 1e-3
        torch.testing.assert_close(one, other)


def padded(parts, with_what):
    """The same cells and three more that hold this, and which of them are real."""
    *cells, near = parts
    wide = [torch.cat([part, torch.full_like(part[..., :3, :], with_what)], dim=-2) for part in cells]
    return [*wide, near], torch.arange(7).expand(B, 7) < 4


@pytest.mark.parametrize("kind", FAST)
@pytest.mark.parametrize("hostile", [0.0, 1.0, 50.0])
def test_padding_changes_nothing_for_real_cells_whatever_it_holds(kind, hostile):
    parts, everyone = inputs(2, cells=4), torch.ones(B, 4, dtype=torch.bool)
    found = FAST[kind](*parts, everyone)
    wide, mask = padded(parts, hostile)
    beside = FAST[kind](*wide, mask)[:, :, :4]
    torch.testing.assert_close(beside, found, rtol=0, atol=1e-12)
    for one, other in zip(gradients(beside, parts, everyone), gradients(found, parts, everyone), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", FAST)
def test_the_mask_is_what_hides_padding(kind):
    parts = inputs(2, cells=4)
    wide, mask = padded(parts, 1.0)
    assert (FAST[kind](*wide, torch.ones_like(mask)) - FAST[kind](*wide, mask))[:, :, :4].abs().max() > 1e-2


@pytest.mark.parametrize("kind", FAST)
def test_float32_agrees_with_float64_at_the_scale_of_a_section(kind):
    parts = inputs(3)
    parts[-1] = torch.full((B, H), 400.0, dtype=torch.float64)  # the nearest that `Nearness` lets a head look
    single = FAST[kind](*(part.float() for part in parts), ALL)
    torch.testing.assert_close(single.double(), FAST[kind](*parts, ALL), rtol=0, atol=2e-3)


def orthogonal(space, seed, reflected):
    matrix, _ = torch.linalg.qr(normal(space, space, seed=seed))
    if (torch.linalg.det(matrix) < 0) != reflected:
        matrix = torch.cat([-matrix[:1], matrix[1:]])
    return matrix


@pytest.mark.parametrize("kind", FAST)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("reflected", [False, True])
def test_weights_do_not_see_a_rotation_or_a_reflection_but_a_bend(kind, space, reflected):
    query, key, _, position, near = inputs(space)
    each = torch.eye(N, dtype=torch.float64).expand(B, H, N, N)  # values that show the weights
    weights = FAST[kind](query, key, each, position, near, SOME)
    turned = position @ orthogonal(space, 5, reflected).T
    torch.testing.assert_close(FAST[kind](query, key, each, turned, near, SOME), weights)
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, H, N, dtype=torch.float64))
    assert (weights[1, :, :, ~SOME[1]] == 0).all()
    bent = position * torch.tensor([1.0] + [1.3] * (space - 1))
    assert (FAST[kind](query, key, each, bent, near, SOME) - weights).abs().max() > 1e-3


def test_softmax_weights_do_not_see_a_translation():
    query, key, value, position, near = inputs(2)
    moved = softmax_attention(query, key, value, position + 3.0, near, SOME)
    torch.testing.assert_close(moved, softmax_attention(query, key, value, position, near, SOME))


@pytest.mark.parametrize("kind", FAST)
def test_a_head_that_cares_for_distance_gathers_from_near_cells(kind):
    """Cells at two ends of a line, equal in everything else."""
    position = torch.tensor([[[-2.0], [-2.0], [2.0], [2.0]]]).expand(1, 4, 1)
    query = key = torch.zeros(1, 2, 4, F)
    value = position[:, None].expand(1, 2, 4, 1)
    near = torch.tensor([[0.0, 5.0]])
    gathered = FAST[kind](query, key, value, position, near, torch.ones(1, 4, dtype=torch.bool))[0, :, :, 0]
    torch.testing.assert_close(gathered[0], torch.zeros(4))
    assert (gathered[1] * position[0, :, 0] > 1).all()


def module(kind="softmax", gate="none", width=D):
    torch.manual_seed(1)
    return NeighbourhoodAttention(width, H, kind, gate).double()


def cells(space=2):
    return normal(B, N, D), normal(B, N, space, seed=1), normal(B, N, 2 * space, seed=2), normal(B, H, seed=3).square()


@pytest.mark.parametrize("kind", FAST)
def test_a_permutation_of_the_cells_permutes_what_they_gather(kind):
    attention = module(kind, "elementwise")
    x, position, vectors, near = cells()
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    found = attention(x, position, vectors, near, SOME)
    mixed = attention(x[:, order], position[:, order], vectors[:, order], near, SOME[:, order])
    for one, other in zip(mixed, found, strict=True):
        torch.testing.assert_close(one, other[:, order])
        assert (one - other).abs().max() > 1e-3


@pytest.mark.parametrize("kind", FAST)
@pytest.mark.parametrize("space", SPACES)
def test_features_and_vectors_are_weighted_by_the_same_heads(kind, space):
    attention = module(kind)
    x, position, vectors, near = cells(space)
    found = attention(x, position, vectors, near, SOME)
    query, key, value = (attention.query_key_value(x)[..., part * D : (part + 1) * D] for part in range(3))
    for h in range(H):
        of_head = slice(h * F, (h + 1) * F)
        parts = [part[..., None, :, of_head].expand(B, H, N, F) for part in (query, key)]
        for values, gathered in (
            (value[..., of_head], found.features_BND[..., of_head]),
            (vectors, found.vectors_BNHU[:, :, h]),
        ):
            expected = slow(kind, *parts, values[:, None].expand(B, H, -1, -1).clone(), position, near, SOME)[:, h]
            torch.testing.assert_close(gathered[SOME], expected[SOME])


def parameters(gate):
    return sum(parameter.numel() for parameter in module(gate=gate).parameters())


def test_a_gate_adds_width_times_heads_or_width_squared():
    assert parameters("none") == 3 * D * D
    assert parameters("headwise") - parameters("none") == D * H
    assert parameters("elementwise") - parameters("none") == D * D


@pytest.mark.parametrize(("gate", "gates"), [("headwise", H), ("elementwise", D)])
def test_a_gate_multiplies_the_features_by_a_sigmoid_of_the_state(gate, gates):
    gated, plain = module(gate=gate), module()
    plain.query_key_value.load_state_dict(gated.query_key_value.state_dict())
    x, position, vectors, near = cells()
    sigmoid = torch.sigmoid(x @ gated.gate.weight.T)
    assert sigmoid.shape == (B, N, gates)
    found, without = (one(x, position, vectors, near, SOME) for one in (gated, plain))
    expected = without.features_BND * sigmoid.repeat_interleave(D // gates, dim=2)
    torch.testing.assert_close(found.features_BND, expected)
    assert (found.features_BND - without.features_BND).abs().max() > 1e-2
    assert found.vectors_BNHU.equal(without.vectors_BNHU)  # directions are not gated


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="5 heads do not divide a width of 12"):
        NeighbourhoodAttention(D, 5)


def test_nearness_is_never_negative_bounded_and_starts_from_far_to_near():
    nearness = Nearness(6, 4)
    with torch.no_grad():
        start = nearness(torch.zeros(2, 6))
        torch.testing.assert_close(start, softplus(torch.linspace(-4, 5, 4)).square().expand(2, 4))
        assert (start.diff(dim=1) > 0).all()
        torch.testing.assert_close(nearness(torch.ones(2, 6)), start)  # of no condition, until it is learned
        torch.nn.init.normal_(nearness.linear.weight, std=100.0)
        far = nearness(torch.randn(50, 6, generator=torch.Generator().manual_seed(0)))
    assert far.min() >= 0
    assert far.max() == 400
