import math

import pytest
import torch

from pipeline.bayes_moe.model.moe_statistics import expert_by_label, mean_entropy, statistics_of, utilisation
from pipeline.nn.moe.layer import MixtureOfExperts
from pipeline.nn.moe.routing import Routing, within_capacity

N, D, E, C = 60, 8, 4, 3


def routing_of(**changes):
    torch.manual_seed(0)
    layer = MixtureOfExperts(D, 16, E, **({"k": 2} | changes))
    return layer(3 * torch.randn(N, D)).routing


ROUTINGS = [{}, {"k": 1}, {"capacity_factor": 0.6}, {"adaptive_entropy": 0.6}]


@pytest.mark.parametrize("changes", ROUTINGS)
def test_utilisation_is_the_share_of_kept_slots(changes):
    routing = routing_of(**changes)
    torch.testing.assert_close(utilisation(routing), routing.load_E() / routing.load_E().sum())
    torch.testing.assert_close(utilisation(routing).sum(), torch.tensor(1.0))


@pytest.mark.parametrize("changes", ROUTINGS)
def test_labels_are_counted_per_expert_as_one_by_one(changes):
    routing = routing_of(**changes)
    label = torch.randint(0, C, (N,))
    expected = torch.zeros(E, C, dtype=torch.int64)
    for n in range(N):
        for k in range(routing.expert_NK.shape[1]):
            if routing.kept_NK[n, k]:
                expected[routing.expert_NK[n, k], label[n]] += 1
    assert torch.equal(expert_by_label(routing, label, C), expected)


def test_entropy_is_one_where_no_expert_is_preferred_and_zero_where_all_are_sure():
    routing = routing_of()
    torch.testing.assert_close(
        mean_entropy(routing._replace(probability_NE=torch.full((N, E), 1 / E))), torch.tensor(1.0)
    )
    assert mean_entropy(routing._replace(probability_NE=torch.eye(E)[torch.zeros(N, dtype=torch.int64)])) == 0
    half = torch.tensor([0.5, 0.5, 0, 0]).expand(N, -1)
    assert float(mean_entropy(routing._replace(probability_NE=half))) == pytest.approx(math.log(2) / math.log(E))


def test_slots_dropped_for_capacity_and_slots_spared_are_kept_apart():
    spared = torch.zeros(4, 2, dtype=torch.bool)
    spared[0, 1] = True
    logit = torch.zeros(4, E)
    expert = torch.tensor([[0, 1], [0, 1], [0, 1], [2, 1]])
    weight = torch.full((4, 2), 0.5) * ~spared
    routing = Routing(expert, weight, ~spared, logit.softmax(1), logit, torch.zeros(()), spared)
    assert (int(routing.dropped()), int(routing.spared())) == (0, 1)
    limited = routing.only(within_capacity(expert, ~spared, E, 2))  # a third token at expert 0, a third at 1
    assert (int(limited.dropped()), int(limited.spared())) == (2, 1)
    figures = statistics_of(limited)
    assert (float(figures.dropped), float(figures.spared)) == (2 / 8, 1 / 8)


def test_statistics_are_detached_and_read_nothing_from_the_device():
    """On the meta device there is nothing to read: `item` and results whose length depends on values raise there."""
    figures = [*statistics_of(routing_of()), expert_by_label(routing_of(), torch.zeros(N, dtype=torch.int64), C)]
    assert not any(figure.requires_grad for figure in figures)
    routing = Routing(*(part.to("meta") if torch.is_tensor(part) else part for part in routing_of()))
    figures = [*statistics_of(routing), expert_by_label(routing, torch.zeros(N, dtype=torch.int64, device="meta"), C)]
    assert [tuple(figure.shape) for figure in figures] == [(E,), (), (), (), (E, C)]
