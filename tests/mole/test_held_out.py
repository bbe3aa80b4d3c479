"""What a choice is worth on rows without a part in it: against loops, and where nothing or something can be chosen."""

import numpy as np
import pytest

from pipeline.mole.model.held_out import held_out, held_out_of_epochs, over_origins
from pipeline.mole.model.ridge_search import Ridge, best_of


@pytest.mark.parametrize("origins", [1, 2, 4])
def test_each_origin_is_judged_by_what_the_others_choose(origins):
    tried = np.exp(np.random.default_rng(origins).normal(size=(30, origins))).tolist()
    expected = []
    for origin in range(origins):
        others = [place for place in range(origins) if place != origin] or [0]
        best = min(tried, key=lambda one, others=others: over_origins([one[place] for place in others]))
        expected.append(best[origin])
    assert held_out(tried) == tuple(expected)
    ridges = [Ridge(4, "last", float(place), tuple(losses)) for place, losses in enumerate(tried)]
    assert best_of(ridges)[:4] == min(ridges, key=lambda one: one.loss)[:4]
    assert best_of(ridges).held_out == tuple(expected)


def test_what_many_tries_win_by_chance_is_not_in_it():
    """Of 100 that do not differ but by chance, the lowest loss is below what new rows will have."""
    noise = [np.exp(0.1 * np.random.default_rng(seed).normal(size=(100, 4))) for seed in range(200)]
    lowest = [min(one.tolist(), key=over_origins) for one in noise]
    assert np.mean(np.log(lowest)) < -0.1
    assert np.mean(np.log([held_out(one.tolist()) for one in noise])) == pytest.approx(0, abs=0.01)
    # and where one is better by far it is found all the same: the positive control
    ahead = np.exp(-np.eye(100, 1))
    found = [held_out((ahead * one).tolist()) for one in noise]
    assert np.mean(np.log(found)) == pytest.approx(-1, abs=0.05)


def test_epochs_are_chosen_by_the_other_origins():
    falling, rising = [1.0, 0.8, 0.7], [1.0, 1.1, 1.3]
    # at the first two the last epoch is best, at the third the start: which the first two do not choose for it
    assert held_out_of_epochs([[falling], [falling], [rising]]) == (0.8, 0.8, 1.3)
    assert held_out_of_epochs([[falling], [falling], [falling]]) == (0.7, 0.7, 0.7)  # the positive control
    assert held_out_of_epochs([[rising], [rising]]) == (1.0, 1.0)


def test_trainings_of_an_origin_count_together_and_one_that_stopped_with_its_last_loss():
    several = [[1.0, 0.6], [1.0, 0.8, 0.9]]
    assert held_out_of_epochs([several, [[1.0, 0.9, 0.8]]]) == (pytest.approx((0.6 + 0.9) / 2), 0.9)
    assert held_out_of_epochs([several]) == (pytest.approx(0.7),)
