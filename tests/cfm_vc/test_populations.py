"""The space of population distances: the truth is near in it, and no effect and a collapsed population are far."""

import numpy as np
import pytest

from pipeline.cfm_vc.metrics.distances import e_distance, mmd
from pipeline.cfm_vc.metrics.populations import space_of


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


def distances(predicted, true, space):
    x, y = space.components.project(predicted), space.components.project(true)
    return e_distance(x, y)[0], mmd(x, y, space.bandwidth)[0]


def test_another_sample_of_the_truth_is_at_zero_and_the_controls_are_not(cells):
    truth, again, control = cells
    space = space_of(truth, control, 10)
    for ceiling, none in zip(distances(again, truth, space), distances(control, truth, space), strict=True):
        assert abs(ceiling) < 0.1 * none


def test_a_population_collapsed_on_the_right_mean_loses(cells):
    truth, again, control = cells
    space = space_of(truth, control, 10)
    collapsed = np.repeat(truth.mean(axis=0, keepdims=True), 150, axis=0)
    for worse, better in zip(distances(collapsed, truth, space), distances(again, truth, space), strict=True):
        assert worse > 10 * abs(better)


def test_more_components_than_cells_or_genes_are_no_problem(cells):
    truth, _, control = cells
    assert np.isfinite(distances(truth[:3], truth[:2], space_of(truth[:2], control[:2], 500))).all()
