"""Intervals over trainings and examples: how often they hold the truth, beside ones that leave a part out."""

import math

import numpy as np
import pytest

from pipeline.bayes_moe.metrics.crossed import Uncertain, crossed

CASES = {  # standard deviations of the effect of a training, of an example, and of both together
    "trainings": (0.3, 1.0, 1.0),
    "examples": (0.0, 3.0, 1.0),
    "both": (0.0, 0.0, 3.0),
    "all alike": (0.1, 1.0, 1.0),
}
TURNS, EXAMPLES = 1500, 150


def drawn(random, trainings, of_training, of_both):
    """A training's own effects, without those of examples."""
    own_R1 = of_training * random.standard_normal((trainings, 1))
    return own_R1 + of_both * random.standard_normal((trainings, EXAMPLES))


def covered(found: Uncertain) -> bool:
    return abs(found.value) <= found.half


@pytest.mark.parametrize("trainings", [3, 5, 10])
@pytest.mark.parametrize("case", CASES)
def test_of_95_percent_intervals_95_percent_hold_the_truth(case: str, trainings: int):
    """The truth is 0. Of three trainings they hold it a little less often: degrees of freedom are estimates, too."""
    of_training, of_example, of_both = CASES[case]
    random = np.random.default_rng(trainings)
    held = []
    for _ in range(TURNS):
        x_RN = of_example * random.standard_normal(EXAMPLES) + drawn(random, trainings, of_training, of_both)
        held.append(covered(crossed(x_RN)))
    assert (0.92 if trainings == 3 else 0.93) <= np.mean(held) <= 0.975


def test_two_independent_samples_of_the_same_examples():
    random = np.random.default_rng(0)
    held = []
    for _ in range(TURNS):
        easy_N = random.standard_normal(EXAMPLES)  # the same for both, so it has no part in their difference
        one, other = (easy_N + drawn(random, trainings, 0.2, 1.0) for trainings in (5, 3))
        held.append(covered(crossed(one, -other)))
    assert 0.93 <= np.mean(held) <= 0.975


def test_an_interval_that_takes_the_trainings_as_given_holds_it_less_often():
    """The negative control: one sample of the means over trainings, as if they were one training."""
    random = np.random.default_rng(0)
    held = [covered(crossed(drawn(random, 5, 0.3, 1.0).mean(axis=0, keepdims=True))) for _ in range(TURNS)]
    assert np.mean(held) < 0.7


def test_without_effects_of_examples_it_is_the_t_test_over_trainings():
    trainings = np.array([0.3, 0.5, 0.1, 0.6])
    found = crossed(np.repeat(trainings[:, None], 50, axis=1))
    assert found.value == pytest.approx(trainings.mean())
    assert found.freedom == pytest.approx(3)
    assert found.half == pytest.approx(3.182446 * trainings.std(ddof=1) / 2, rel=1e-6)


def test_one_training_is_the_normal_interval_over_examples():
    x_1N = np.random.default_rng(0).standard_normal((1, 400))
    found = crossed(x_1N)
    assert math.isinf(found.freedom)
    assert found.half == pytest.approx(1.959964 * x_1N.std(ddof=1) / 20, rel=1e-6)
    assert crossed(np.ones((3, 1))).half == 0
