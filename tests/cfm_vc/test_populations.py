"""The space of population distances: the truth is near in it, and no effect and a collapsed population are far."""

import numpy as np
import pytest

from pipeline.cfm_vc.metrics.distances import e_distance, mmd
from pipeline.cfm_vc.metrics.populations import population_distances, space_of


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
    times = (np.ones((1, len(predicted))), np.ones((1, len(true))))
    return [found[0] for found in population_distances(predicted, true, *times, space).values()]


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
    truth, again, control = cells
    assert np.isfinite(distances(again[:5], truth[:4], space_of(truth[:4], control[:4], 500))).all()


def noisy(seed, cells=200, genes=300):
    """Truth, a second sample of it, controls, and those moved by the effect, in which noise is most of the variance."""
    random = np.random.default_rng(seed)
    effect_G = random.normal(0, 0.3, genes).astype(np.float32)
    first, second, control = random.gamma(2, 0.4, (3, cells, genes)).astype(np.float32)
    return first + effect_G, second + effect_G, control, control + effect_G


def test_other_cells_of_the_right_distribution_are_at_zero_however_noisy():
    """Drawn anew or made of the controls. In components of the very cells that are compared they are not (negative
    control), and those made of the controls have an advantage."""
    found = {"anew": [], "of controls": [], "anew, in own": [], "of controls, in own": []}
    for seed in range(5):
        truth, again, control, moved = noisy(seed)
        space = space_of(truth, control, 20)
        scale = distances(control, truth, space)[0]
        for name, cells in (("anew", again), ("of controls", moved)):
            own = e_distance(*(space.components.project(x) for x in (cells, truth)))[0]
            found[name].append(distances(cells, truth, space)[0] / scale)
            found[f"{name}, in own"].append(own / scale)
    means = {name: float(np.mean(values)) for name, values in found.items()}
    assert abs(means["anew"]) < 0.01
    assert abs(means["of controls"]) < 0.01
    assert means["anew, in own"] > 0.03 > means["of controls, in own"] + 0.02


def test_more_spread_brings_cells_no_nearer():
    for seed in range(5):
        truth, again, control, _ = noisy(seed)
        space = space_of(truth, control, 20)
        honest, mean_G = distances(again, truth, space), again.mean(axis=0)
        for factor in (1.2, 1.5, 2.0):
            wider = distances(mean_G + factor * (again - mean_G), truth, space)
            assert all(worse > better for worse, better in zip(wider, honest, strict=True))


def test_halves_are_compared_in_the_components_of_the_others(cells):
    truth, again, control = cells
    space = space_of(truth, control, 10)
    found = distances(again, truth, space)
    by_half = []
    for start in (0, 1):
        other = space_of(truth[1 - start :: 2], control[1 - start :: 2], 10).components
        x, y = other.project(again[start::2]), other.project(truth[start::2])
        by_half.append((e_distance(x, y)[0], mmd(x, y, space.bandwidth)[0]))
    np.testing.assert_allclose(found, np.mean(by_half, axis=0), rtol=1e-9)


def test_a_half_without_two_cells_is_left_out_and_without_any_there_is_no_distance(cells):
    truth, again, control = cells
    space = space_of(truth, control, 10)
    first = space.halves[0].project
    assert distances(again, truth[:3], space)[0] == pytest.approx(e_distance(first(again[::2]), first(truth[:3:2]))[0])
    assert np.isnan(distances(again, truth[:2], space)).all()
