"""Tricks that make a prediction no better must not make its scores better.

Each is played on a good prediction of simulated counts, imperfect but of the right size. Of the decisive scores (see
`pipeline.cfm_vc.decisive`), Pearson must not rise, and E-distance must get worse. Pearson cannot notice a change that
is scaled; the slope has to.
"""

import numpy as np
import pytest

from pipeline.cfm_vc.data.groups import Moments
from pipeline.cfm_vc.metrics.populations import space_of
from pipeline.cfm_vc.metrics.response import Response, response_of, scores_of, yardstick
from pipeline.data.expression import log_normalise

GENES, CELLS, TARGET = 300, 400, 1000.0
PEARSON = "pearson_change_top50"


def moments(expression_BG):
    expression_BG = expression_BG.astype(float)
    return Moments(len(expression_BG), expression_BG.mean(axis=0), (expression_BG**2).sum(axis=0))


class Case:
    """Cells of one type, control and treated, and a prediction whose log fold changes are `size` times the true ones,
    with errors."""

    def __init__(self, seed, size=1.0):
        random = np.random.default_rng(seed)
        proportion_G = random.gamma(0.7, 1, GENES)
        proportion_G /= proportion_G.sum()

        def cells(fold_G):
            mean_BG = random.lognormal(np.log(TARGET), 0.3, (CELLS, 1)) * proportion_G * np.exp(fold_G)
            counts_BG = random.poisson(random.gamma(4, mean_BG / 4)).astype(np.float32)
            return log_normalise(counts_BG, counts_BG.sum(axis=1), TARGET)

        fold_G, others_QG = (
            np.where(random.random((rows, GENES)) < 0.2, random.normal(0, 1, (rows, GENES)), 0) for rows in (1, 3)
        )
        error_G = np.where(fold_G != 0, random.normal(0, 0.3, fold_G.shape), 0)
        self.control_BG, true_BG = cells(0 * fold_G), cells(fold_G)
        self.predicted_BG = cells(size * fold_G + error_G)
        self.control = moments(self.control_BG)
        space = space_of(true_BG, self.control_BG, 20)
        self.true, resampled = response_of(moments(true_BG), self.control.mean_G, true_BG, 0, random)
        self.by = yardstick(resampled, self.control, [moments(cells(other)) for other in others_QG], space, [50])
        self.change_G = self.predicted_BG.mean(axis=0, dtype=np.float64) - self.control.mean_G

    def scores(self, change_G, population_BG):
        predicted = Response(change_G[None], population_BG, np.ones((1, len(population_BG))))
        return {name: float(value[0]) for name, value in scores_of(predicted, self.true, self.by).items()}


def scaled(factor):
    """A larger change: every cell is moved further along it."""

    def play(case):
        farther_BG = case.predicted_BG + ((factor - 1) * case.change_G).astype(np.float32)
        return factor * case.change_G, farther_BG

    return play


def logged_again(case):
    """The logarithm of what is one already."""
    logged_BG = np.log1p(case.predicted_BG)
    return logged_BG.mean(axis=0, dtype=np.float64) - case.control.mean_G, logged_BG


def inflated(factor):
    """Cells farther from their mean, which stays."""

    def play(case):
        mean_G = case.predicted_BG.mean(axis=0)
        return case.change_G, mean_G + factor * (case.predicted_BG - mean_G)

    return play


def swapped(case):
    """The predicted mean, and control cells as the population."""
    return case.change_G, case.control_BG


ATTACKS = {
    "scaled by 1.5": scaled(1.5),
    "scaled by 2": scaled(2.0),
    "logged again": logged_again,
    "variance times 1.5": inflated(1.5**0.5),
    "variance times 4": inflated(2.0),
    "control cells": swapped,
}


@pytest.mark.parametrize("seed", range(3))
def test_the_prediction_is_good_imperfect_and_of_the_right_size(seed):
    case = Case(seed)
    found, none = case.scores(case.change_G, case.predicted_BG), case.scores(0 * case.change_G, case.control_BG)
    assert 0.8 < found[PEARSON] < 0.999
    assert 0 < found["e_distance"] < 0.5 * none["e_distance"]
    assert found["slope_change"] == pytest.approx(1, abs=0.15)
    assert found["r2_weighted"] > 0.5 > none["r2_weighted"]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("seed", range(3))
def test_no_trick_improves_a_decisive_score(attack, seed):
    case = Case(seed)
    honest, tricked = case.scores(case.change_G, case.predicted_BG), case.scores(*ATTACKS[attack](case))
    assert tricked["e_distance"] > 1.02 * honest["e_distance"]
    assert tricked[PEARSON] <= honest[PEARSON] + 1e-9
    if attack.startswith("scaled"):
        assert tricked[PEARSON] == pytest.approx(honest[PEARSON])
        assert abs(tricked["slope_change"] - 1) > abs(honest["slope_change"] - 1) + 0.3
        assert tricked["r2_weighted"] < honest["r2_weighted"]
        assert tricked["wmse"] > honest["wmse"]


def test_a_prediction_that_is_too_small_is_better_at_its_right_size():
    """So that the tricks above lose for what they do, not for being done."""
    case = Case(0, size=0.5)
    small, right = case.scores(case.change_G, case.predicted_BG), case.scores(*ATTACKS["scaled by 2"](case))
    assert right["e_distance"] < small["e_distance"]
    assert abs(right["slope_change"] - 1) < abs(small["slope_change"] - 1)
    assert right["r2_weighted"] > small["r2_weighted"]
    assert right[PEARSON] == pytest.approx(small[PEARSON])
