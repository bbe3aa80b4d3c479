import itertools

import pytest
import torch

from pipeline.cfm_vc.model import energy_distance
from pipeline.cfm_vc.model.energy_distance import energy_distance_between, grouped_energy_distance


def reference(x, y, group):
    """The definition in loops: groups of two or more, pairs i != j."""
    values = []
    for g in group.unique():
        rows = (group == g).nonzero().flatten().tolist()
        pairs = list(itertools.permutations(rows, 2))
        if pairs:
            terms = [2 * (x[i] - y[j]).norm() - (x[i] - x[j]).norm() - (y[i] - y[j]).norm() for i, j in pairs]
            values.append(sum(terms) / len(pairs))
    return sum(values) / len(values)


def samples(n, shift=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((n, 3), generator=generator, dtype=torch.float64) + shift


def test_it_is_the_definition():
    x, y = samples(12), samples(12, 0.5, seed=1)
    group = torch.tensor([0, 0, 0, 5, 5, 1, 5, 5, 9, 9, 9, 0])
    torch.testing.assert_close(grouped_energy_distance(x, y, group), reference(x, y, group))


def test_equal_samples_are_at_zero_equal_distributions_near_it_and_shifted_ones_are_not():
    group = torch.zeros(400, dtype=torch.int64)
    x = samples(400)
    assert grouped_energy_distance(x, x.clone(), group).item() == 0
    assert abs(grouped_energy_distance(x, samples(400, seed=1), group).item()) < 0.03
    assert grouped_energy_distance(x, samples(400, 1.0, seed=1), group).item() > 0.5


def test_groups_are_never_compared_with_one_another():
    x, y = samples(8), samples(8, seed=1)
    group = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    before = grouped_energy_distance(x, y, group)
    far = torch.where(group[:, None] == 1, 1000.0, 0.0)
    torch.testing.assert_close(grouped_energy_distance(x + far, y + far, group), before)


@pytest.mark.parametrize("group", [[0], [0, 1, 2]])
def test_without_a_pair_it_is_zero_with_a_zero_gradient(group):
    x = samples(len(group)).requires_grad_()
    value = grouped_energy_distance(x, samples(len(group), 1.0, 1), torch.tensor(group))
    value.backward()
    assert value.item() == 0
    assert torch.equal(x.grad, torch.zeros_like(x))


def test_the_gradient_is_right_and_not_zero():
    x, y = samples(6).requires_grad_(), samples(6, 1.0, seed=1)
    group = torch.tensor([0, 0, 0, 1, 1, 2])
    assert torch.autograd.gradcheck(lambda x: grouped_energy_distance(x, y, group), x)
    grouped_energy_distance(x, y, group).backward()
    assert x.grad[:5].abs().min() > 0
    assert x.grad[5].abs().max() == 0


def test_coinciding_samples_have_a_finite_gradient():
    x = torch.zeros(4, 3, requires_grad=True)
    grouped_energy_distance(x, torch.zeros(4, 3), torch.zeros(4)).backward()
    assert torch.isfinite(x.grad).all()


def between_reference(z, group, part):
    """The definition in loops: every pair of parts of a group, each with two or more samples."""
    values = []
    for g in group.unique():
        parts = [z[(group == g) & (part == p)] for p in part[group == g].unique()]
        for a, b in itertools.combinations([found for found in parts if len(found) >= 2], 2):
            within = [
                torch.stack([(x - y).norm() for x, y in itertools.permutations(found, 2)]).mean() for found in (a, b)
            ]
            values.append(2 * torch.cdist(a, b).mean() - within[0] - within[1])
    return torch.stack(values).mean()


def test_the_distance_between_parts_is_the_definition():
    z = samples(40)
    random = torch.Generator().manual_seed(3)
    group, part = (torch.randint(0, k, (40,), generator=random) for k in (3, 4))
    torch.testing.assert_close(energy_distance_between(z, group, part), between_reference(z, group, part))


def test_parts_of_one_distribution_are_at_zero_shifted_ones_are_not_and_groups_may_differ_at_will():
    group, part = torch.arange(400) // 200, torch.arange(400) % 2
    z = samples(400) + 100.0 * group[:, None]
    assert abs(energy_distance_between(z, group, part).item()) < 0.05
    assert energy_distance_between(z + part[:, None], group, part).item() > 0.5


@pytest.mark.parametrize(("group", "part"), [([0, 1, 2], [0, 1, 2]), ([0, 0, 0], [1, 1, 1]), ([0, 0, 0], [0, 1, 1])])
def test_without_two_parts_it_is_zero_with_a_zero_gradient(group, part):
    z = samples(3).requires_grad_()
    value = energy_distance_between(z, torch.tensor(group), torch.tensor(part))
    value.backward()
    assert value.item() == 0
    assert torch.equal(z.grad, torch.zeros_like(z))


def test_the_gradient_between_parts_is_right():
    z = samples(8).requires_grad_()
    group, part = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1]), torch.tensor([0, 0, 1, 1, 1, 0, 0, 1])
    assert torch.autograd.gradcheck(lambda z: energy_distance_between(z, group, part), z)


@pytest.mark.parametrize("sizes", [[2] * 9 + [30], [10, 11, 12], [1, 1, 40]])
@pytest.mark.parametrize("few", [0, 128])
def test_groups_of_any_sizes_and_their_gradients_are_those_of_the_definition(sizes, few, monkeypatch):
    """Groups of like sizes are stacked; few samples, and one large group among many small ones, are not."""
    monkeypatch.setattr(energy_distance, "_FEW", few)
    group = torch.cat([torch.full((size,), number) for number, size in enumerate(sizes)])
    group = group[torch.randperm(len(group), generator=torch.Generator().manual_seed(0))]
    x, y = samples(len(group)).requires_grad_(), samples(len(group), 0.5, seed=1)
    expected, found = reference(x, y, group), grouped_energy_distance(x, y, group)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(value, x)[0] for value in (found, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("group", [[0] * 8, [0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1, 2]])
@pytest.mark.parametrize("few", [0, 128])
def test_the_gradient_of_the_distance_between_parts_is_right(group, few, monkeypatch):
    monkeypatch.setattr(energy_distance, "_FEW", few)
    z, part = samples(8).requires_grad_(), torch.tensor([0, 1, 0, 1, 0, 1, 0, 1])
    assert torch.autograd.gradcheck(lambda z: energy_distance_between(z, torch.tensor(group), part), z)
    assert torch.autograd.grad(energy_distance_between(z, torch.tensor(group), part), z)[0].abs().max() > 0
