"""Losses on distances against loops over pairs, and what they promise: blind to motion, 0 at the truth only."""

import math

import pytest
import torch

from pipeline.alphastomics.model.layout_loss import neighbour_divergence, some_cells, squared_distances, stress

B, N = 3, 8
MASK = torch.arange(N) < torch.tensor([8, 5, 3])[:, None]
SPACES = [2, 3]


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pairs():
    """Neighbourhood, cell, other cell."""
    return [(b, i, j) for b in range(B) for i in range(N) for j in range(N) if i != j and MASK[b, i] and MASK[b, j]]


def distance(position, b, i, j):
    return (position[b, i] - position[b, j]).square().sum()


def slow_stress(predicted, true):
    terms = [
        ((distance(predicted, *pair) + 1e-4).sqrt() - (distance(true, *pair) + 1e-4).sqrt()) ** 2 for pair in pairs()
    ]
    return torch.stack(terms).mean()


def slow_divergence(predicted, true):
    """KL(p_i || q_i) of each cell, the mean."""
    terms = []
    for b in range(B):
        for i in range(N):
            others = [j for c, k, j in pairs() if (c, k) == (b, i)]
            if others:
                p = torch.stack([torch.exp(-distance(true, b, i, j) / (2 * 0.15**2)) for j in others])
                q = torch.stack([1 / (1 + distance(predicted, b, i, j) / 0.1**2) for j in others])
                p, q = p / p.sum(), q / q.sum()
                terms.append((p * (p / q).log()).sum())
    return torch.stack(terms).mean()


LOSSES = {"stress": (stress, slow_stress), "divergence": (neighbour_divergence, slow_divergence)}


def fast(name, predicted, true, mask=MASK):
    return LOSSES[name][0](squared_distances(predicted), squared_distances(true), mask)


def places(space):
    """Predicted and true, the size of a neighbourhood whose cells have neighbours."""
    return 0.2 * normal(B, N, space), 0.2 * normal(B, N, space, seed=1)


@pytest.mark.parametrize("space", SPACES)
def test_squared_distances_are_those_of_the_differences(space):
    position = normal(B, N, space) + 2
    expected = (position[:, :, None] - position[:, None]).square().sum(-1)
    torch.testing.assert_close(squared_distances(position), expected)
    single = squared_distances(position.float())
    assert single.min() >= 0
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("space", SPACES)
def test_values_and_gradients_are_those_of_a_loop_over_pairs(name, space):
    predicted, true = places(space)
    predicted.requires_grad_()
    found, expected = fast(name, predicted, true), LOSSES[name][1](predicted, true)
    torch.testing.assert_close(found, expected)
    (one,), (other,) = torch.autograd.grad(found, predicted), torch.autograd.grad(expected, predicted)
    torch.testing.assert_close(one, other)
    assert (one[MASK].abs().sum(-1) > 0).all()
    assert (one[~MASK] == 0).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("space", SPACES)
def test_they_are_blind_to_motion_of_either_side_and_not_to_a_stretch(name, space):
    predicted, true = places(space)
    turn, _ = torch.linalg.qr(normal(space, space, seed=2))
    if torch.linalg.det(turn) > 0:
        turn[0] *= -1
    found = fast(name, predicted, true)
    torch.testing.assert_close(fast(name, predicted @ turn.T + 0.5, true), found)
    torch.testing.assert_close(fast(name, predicted, true @ turn.T - 0.5), found)
    assert abs(fast(name, predicted * 1.2, true) - found) > 1e-4


def test_stress_is_zero_at_the_truth_and_positive_elsewhere():
    _, true = places(2)
    assert fast("stress", true, true) == 0
    for seed in range(5):
        assert fast("stress", true + 0.01 * normal(B, N, 2, seed=seed), true) > 1e-6
    torch.testing.assert_close(fast("stress", true * 2, true), LOSSES["stress"][1](true * 2, true))


def test_the_divergence_is_zero_where_the_kernels_agree_and_positive_elsewhere():
    """Squared distances for which both kernels give the same neighbours, whatever the layout."""
    true = squared_distances(places(2)[1])
    alike = (true / (2 * 0.15**2)).expm1() * 0.1**2
    torch.testing.assert_close(neighbour_divergence(alike, true, MASK), torch.tensor(0.0).double(), atol=1e-12, rtol=0)
    for factor in (0.5, 2.0):
        assert neighbour_divergence(alike * factor, true, MASK) > 1e-4
    far = torch.full_like(true, 10.0)
    assert neighbour_divergence(far, true, MASK) > neighbour_divergence(squared_distances(places(2)[1]), true, MASK)


@pytest.mark.parametrize("name", LOSSES)
def test_neither_padding_nor_a_lonely_cell_counts(name):
    predicted, true = places(2)
    expected = fast(name, predicted, true)
    spoilt = predicted.masked_fill(~MASK[..., None], 30.0)
    torch.testing.assert_close(fast(name, spoilt, true), expected)
    lonely = MASK.clone()
    lonely[2, 1:] = False  # one cell is left, without a pair
    predicted.requires_grad_()
    loss = fast(name, predicted, true, lonely)
    loss.backward()
    assert torch.isfinite(predicted.grad).all()
    assert (predicted.grad[2] == 0).all()
    assert fast(name, predicted, true, torch.zeros_like(MASK)) == 0


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_where_all_cells_lie_in_one_place(name):
    predicted = torch.zeros(B, N, 2, requires_grad=True)
    fast(name, predicted, places(2)[1].float()).backward()
    assert torch.isfinite(predicted.grad).all()


def test_chosen_cells_are_different_real_ones_first():
    mask = torch.arange(20) < torch.tensor([20, 7, 3])[:, None]
    chosen = some_cells(mask, 5, torch.Generator().manual_seed(0))
    assert chosen.shape == (3, 5)
    assert all(len(set(row.tolist())) == 5 for row in chosen)
    assert mask.gather(1, chosen).sum(1).tolist() == [5, 5, 3]
    everyone = some_cells(mask, 100, torch.Generator().manual_seed(0))
    assert everyone.sort(1).values.equal(torch.arange(20).expand(3, 20))


def test_every_real_cell_is_chosen_equally_often():
    mask = (torch.arange(12) < 9).expand(6000, 12)
    chosen = some_cells(mask, 3, torch.Generator().manual_seed(0))
    counts = torch.bincount(chosen.flatten(), minlength=12)
    assert counts[9:].sum() == 0
    assert (counts[:9] - 2000).abs().max() < 4 * math.sqrt(6000 * (1 / 3) * (2 / 3))


def test_the_stress_of_chosen_cells_has_the_expectation_of_that_of_all():
    predicted, true = places(2)
    predicted, true = predicted[:1].expand(4000, N, 2), true[:1].expand(4000, N, 2)
    chosen = some_cells(torch.ones(4000, N, dtype=torch.bool), 4, torch.Generator().manual_seed(0))
    few = [squared_distances(at.gather(1, chosen[..., None].expand(-1, -1, 2))) for at in (predicted, true)]
    every = [squared_distances(at[:1]) for at in (predicted, true)]
    found, expected = stress(*few, torch.ones(4000, 4, dtype=torch.bool)), stress(*every, MASK[:1])
    assert found.item() == pytest.approx(expected.item(), rel=0.03)
    one = stress(*(part[:1] for part in few), torch.ones(1, 4, dtype=torch.bool))
    assert one.item() != pytest.approx(expected.item(), rel=0.03)
