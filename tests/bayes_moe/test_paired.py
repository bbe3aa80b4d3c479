"""The paired comparison of two classifiers: its scores, and that it can find a difference, and find none."""

import numpy as np
import pytest

from pipeline.bayes_moe.metrics import calibration, paired

BINS = 15


def logits(random, label_N, strength, seeds=3, classes=5):
    """Logits that are right the more often, the larger `strength` is; noise of their own for every seed."""
    noise = random.normal(size=(seeds, len(label_N), classes))
    return strength * np.eye(classes)[label_N] + noise


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_the_scores_are_those_of_the_calibration_module(random):
    label_N = random.integers(0, 5, 400)
    logit_RNK = logits(random, label_N, 2.0)
    found_RS = paired.contributions(logit_RNK, label_N, BINS).mean(1)
    functions = (
        calibration.accuracy,
        calibration.negative_log_likelihood,
        calibration.brier,
        calibration.expected_calibration_error,
    )
    for place, function in enumerate(functions):
        expected = [function(logit_NK, label_N) for logit_NK in logit_RNK]
        np.testing.assert_allclose(found_RS[:, place], expected, rtol=1e-10)


def test_a_classifier_beside_itself_is_no_better(random):
    label_N = random.integers(0, 5, 200)
    part = paired.contributions(logits(random, label_N, 1.0), label_N, BINS)
    for difference in paired.compare(part, part).values():
        assert difference == (0, 0, 0)


def test_one_that_is_too_sure_is_worse_calibrated_and_as_accurate(random):
    label_N = random.integers(0, 5, 500)
    logit_RNK = logits(random, label_N, 2.0)
    plain, sure = (paired.contributions(scale * logit_RNK, label_N, BINS) for scale in (2.0, 8.0))  # 2: right, by Bayes
    found = paired.compare(plain, sure)
    assert found["ece"].low > 0.05
    assert found["nll"].low > 0
    assert found["accuracy"] == (0, 0, 0)
    back = paired.compare(sure, plain)
    assert back["ece"].value == pytest.approx(-found["ece"].value)
    assert back["ece"].high < -0.05


def test_the_interval_of_two_that_differ_by_chance_alone_holds_zero(random):
    """At a level of 95 %, of 120 comparisons."""
    covered = dict.fromkeys(paired.SCORES, 0)
    for _ in range(120):
        label_N = random.integers(0, 5, 150)
        one, other = (paired.contributions(logits(random, label_N, 1.5, seeds=2), label_N, BINS) for _ in range(2))
        found = paired.compare(one, other)
        for name, difference in found.items():
            covered[name] += difference.low <= 0 <= difference.high
    for name, count in covered.items():
        assert count >= 102, name
