"""What the spatial network and its loss compute in an order that suits the machine, beside loops that say the same."""

import math

import pytest
import torch

from pipeline.alphastomics.model.attention import linear_attention
from pipeline.alphastomics.model.layer import inner_product, length, unit_scaled
from pipeline.alphastomics.model.layout_loss import neighbour_divergence, squared_distances
from pipeline.alphastomics.model.objective import mean_where

MASK = torch.tensor([[True, True, True, True], [True, True, False, False]])


def normal(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_norms_and_inner_products(dimensions):
    a, b = normal(2, 4, 3, dimensions), normal(2, 4, 1, dimensions)
    for n in range(4):
        for h in range(3):
            x, y = a[1, n, h].tolist(), b[1, n, 0].tolist()
            assert inner_product(a, b)[1, n, h].item() == pytest.approx(sum(p * q for p, q in zip(x, y, strict=True)))
            assert length(a)[1, n, h, 0].item() == pytest.approx(math.sqrt(sum(p * p for p in x) + 1e-6))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_each_heads_centres_have_root_mean_square_norm_1_over_real_cells(dimensions):
    centre = normal(2, 4, 3, dimensions)
    found = unit_scaled(centre, MASK)
    for b in range(2):
        for h in range(3):
            real = [centre[b, n, h] for n in range(4) if MASK[b, n]]
            size = math.sqrt(sum(float(v.square().sum()) for v in real) / len(real) + 1e-6)
            for n in range(4):
                expected = centre[b, n, h] / size if MASK[b, n] else torch.zeros(dimensions)
                torch.testing.assert_close(found[b, n, h], expected.double())


@pytest.mark.parametrize("shape", [(2, 4, 1), (2, 1, 1), (2, 4, 5), (1, 1, 1)])
def test_the_mean_where_a_mask_is_true(shape):
    value = normal(2, 4, 5).requires_grad_()
    where = normal(*shape) > 0
    chosen = [value[b, n, g] for b in range(2) for n in range(4) for g in range(5) if where.expand(2, 4, 5)[b, n, g]]
    expected = torch.stack(chosen).mean() if chosen else torch.zeros((), dtype=torch.float64)
    torch.testing.assert_close(mean_where(value, where), expected)
    (gradient,) = torch.autograd.grad(mean_where(value, where), value)
    torch.testing.assert_close(gradient, where.expand(2, 4, 5).double() / max(len(chosen), 1))


def test_what_a_mask_hides_may_be_anything():
    value = torch.tensor([[1.0, 3.0], [math.nan, math.inf]])
    assert mean_where(value, torch.tensor([[True], [False]])).item() == 2
    assert mean_where(value, torch.tensor([[False], [False]])).item() == 0


def test_linear_attention_has_the_gradients_of_its_formula():
    query, key, value, place = normal(1, 2, 5, 4), normal(1, 2, 5, 4) - 0.5, normal(1, 2, 5, 3), normal(1, 5, 2)
    near, mask = normal(1, 2).square(), torch.ones(1, 5, dtype=torch.bool)
    leaves = [tensor.requires_grad_() for tensor in (query, key, value, place, near)]
    assert torch.autograd.gradcheck(lambda *tensors: linear_attention(*tensors, mask), leaves)

    def phi(x):
        return torch.where(x > 0, x + 1, x.exp())

    kernel = (place @ place.mT + 1) ** 2
    weight = phi(query) @ phi(key).mT / 4 + near[:, :, None, None] * kernel[:, None]
    expected = weight @ value / weight.sum(-1, keepdim=True)
    torch.testing.assert_close(linear_attention(query, key, value, place, near, mask), expected)


def test_the_divergence_of_neighbours_that_are_far_beyond_float32s_exponentials():
    """Clusters 30 apart, and one cell alone: its nearest neighbour is as far, and certain none the less."""
    true = torch.tensor([[0.0, 0.0], [0.1, 0.0], [30.0, 0.0], [30.1, 0.2], [0.0, 60.0]])[None]
    found = true + 0.1 * normal(1, 5, 2).float()
    mask = torch.ones(1, 5, dtype=torch.bool)
    total = 0.0
    for i in range(5):
        others = [j for j in range(5) if j != i]
        distance = {j: math.dist(true[0, i].tolist(), true[0, j].tolist()) for j in others}
        nearest = min(distance.values())
        wanted = {j: math.exp((nearest**2 - distance[j] ** 2) / (2 * 0.15**2)) for j in others}
        given = {j: 1 / (1 + math.dist(found[0, i].tolist(), found[0, j].tolist()) ** 2 / 0.1**2) for j in others}
        for j in others:
            p, q = wanted[j] / sum(wanted.values()), given[j] / sum(given.values())
            total += p * (math.log(p) - math.log(q)) if p > 0 else 0.0
    loss = neighbour_divergence(squared_distances(found), squared_distances(true), mask)
    assert loss.item() == pytest.approx(total / 5, rel=1e-3)
