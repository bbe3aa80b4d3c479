"""Populations in principal components: the truth wins, no effect and noise lose, the space ignores the prediction."""

import numpy as np
import pytest

from pipeline.metrics.populations import population_scores, space_of


@pytest.fixture
def cells():
    """Truth, a second sample of it, and controls: log-normalised expression of 40 genes, 6 of which respond."""
    random = np.random.default_rng(0)
    program = random.normal(size=(3, 40))

    def sample(n, shift):
        expression = random.normal(size=(n, 3)) @ program + random.normal(scale=0.5, size=(n, 40)) + 3
        expression[:, :6] += shift
        return expression.astype(np.float32)

    return sample(150, 2.0), sample(150, 2.0), sample(150, 0.0)


def test_another_sample_of_the_truth_is_at_zero_and_the_controls_are_not(cells):
    truth, again, control = cells
    space = space_of(truth, control, 10)
    ceiling, none = population_scores(again, space), population_scores(control, space)
    for metric in ("e_distance", "mmd"):
        assert abs(ceiling[metric]) < 0.1 * none[metric]


def test_a_population_collapsed_on_the_right_mean_loses(cells):
    truth, again, control = cells
    space = space_of(truth, control, 10)
    collapsed = np.repeat(truth.mean(axis=0, keepdims=True), 150, axis=0)
    for metric in ("e_distance", "mmd"):
        assert population_scores(collapsed, space)[metric] > 10 * abs(population_scores(again, space)[metric])


def test_more_components_than_cells_or_genes_are_no_problem(cells):
    truth, _, control = cells
    assert population_scores(truth[:3], space_of(truth[:2], control[:2], 500)).keys() == {"e_distance", "mmd"}
