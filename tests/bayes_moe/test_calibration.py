import numpy as np
import pytest
from scipy.special import softmax

from pipeline.bayes_moe.metrics import calibration as c


def logits_of(probability):
    return np.log(np.asarray(probability, float))


SURE = logits_of([[0.8, 0.2], [0.8, 0.2], [0.8, 0.2], [0.8, 0.2], [0.8, 0.2]])


def random_logits(n=500, classes=4, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(0, 2, (n, classes)), random.integers(0, classes, n)


def test_closed_forms():
    label = np.array([0, 0, 0, 0, 1])  # right 4 times of 5, as sure as right
    assert c.accuracy(SURE, label) == pytest.approx(0.8)
    assert c.negative_log_likelihood(SURE, label) == pytest.approx(-(4 * np.log(0.8) + np.log(0.2)) / 5)
    assert c.brier(SURE, label) == pytest.approx((4 * 2 * 0.2**2 + 2 * 0.8**2) / 5)
    for error in (c.expected_calibration_error, c.classwise_calibration_error):
        assert error(SURE, label) == pytest.approx(0)
    wrong = np.ones(5, int)
    for error in (c.expected_calibration_error, c.adaptive_calibration_error, c.classwise_calibration_error):
        assert error(SURE, wrong) == pytest.approx(0.8)


def test_uniform_probabilities():
    label = np.arange(1000) % 5
    assert c.negative_log_likelihood(np.zeros((1000, 5)), label) == pytest.approx(np.log(5))
    assert c.brier(np.zeros((1000, 5)), label) == pytest.approx(0.8)
    assert c.expected_calibration_error(np.zeros((1000, 5)), label) == pytest.approx(0)


def test_positive_and_negative_control():
    """Labels drawn from the probabilities are calibrated; the same logits, sharpened, are not."""
    random = np.random.default_rng(0)
    logit = random.normal(0, 1.5, (100_000, 3))
    label = (softmax(logit, axis=1).cumsum(1) < random.random((len(logit), 1))).sum(1)
    for error in (c.expected_calibration_error, c.adaptive_calibration_error, c.classwise_calibration_error):
        assert error(logit, label) < 0.01
        assert error(4 * logit, label) > 0.1


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_ece_is_the_sum_over_bins_taken_one_by_one(bins):
    logit, label = random_logits()
    probability = softmax(logit, axis=1)
    confidence, right = probability.max(1), logit.argmax(1) == label
    expected = 0.0
    for m in range(bins):
        low, high = m / bins, (m + 1) / bins
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert c.expected_calibration_error(logit, label, bins) == pytest.approx(expected)
    sure = c.reliability(logit, label, bins)
    assert sure.count_M.sum() == len(label)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    counts = c.reliability(logits_of([[0.6, 0.4], [0.8, 0.2]]), np.array([0, 0]), bins=5).count_M
    assert counts.tolist() == [0, 0, 1, 1, 0]


def test_adaptive_bins_hold_equal_numbers():
    logit, label = random_logits(101)
    probability = softmax(logit, axis=1)
    order = np.argsort(probability.max(1), kind="stable")
    right = logit.argmax(1) == label
    parts = np.array_split(order, 10)
    gaps = [len(part) / 101 * abs(right[part].mean() - probability.max(1)[part].mean()) for part in parts]
    expected = sum(gaps)
    assert c.adaptive_calibration_error(logit, label, 10) == pytest.approx(expected)


def test_extreme_logits_are_finite():
    logit = np.array([[1e4, -1e4], [-1e4, 1e4]])
    assert c.negative_log_likelihood(logit, np.array([0, 0])) == pytest.approx(1e4)
    assert np.isfinite(c.brier(logit, np.array([0, 0])))
