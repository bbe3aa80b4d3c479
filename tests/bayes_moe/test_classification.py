import numpy as np
import pytest

from pipeline.bayes_moe.metrics import calibration
from pipeline.bayes_moe.metrics.classification import (
    class_scores,
    corrupted_scores,
    known_from_other,
    least_used,
)
from pipeline.bayes_moe.metrics.temperature import fit_temperature


@pytest.fixture
def answers():
    random = np.random.default_rng(1)
    label_N = random.integers(0, 4, 600)
    return 3 * np.eye(4)[label_N] + random.normal(size=(600, 4)) * 2, label_N


def test_the_right_temperature_repairs_calibration_and_keeps_accuracy(answers):
    logit_NK, label_N = answers
    temperature = fit_temperature(5 * logit_NK, label_N)
    assert temperature > 1
    raw, scaled = (class_scores(5 * logit_NK / t, label_N, 15) for t in (1, temperature))
    assert scaled["nll"] < raw["nll"]
    assert scaled["ece"] < raw["ece"]
    assert scaled["accuracy"] == raw["accuracy"]
    assert fit_temperature(2.5 * logit_NK, label_N) == pytest.approx(temperature / 2, rel=1e-3)


def test_what_is_unlike_looks_unlike(answers):
    logit_NK, _ = answers
    same = known_from_other(logit_NK, logit_NK)
    assert same["auroc"] == pytest.approx(0.5)
    assert same["fpr95"] == pytest.approx(0.95, abs=0.01)
    apart = known_from_other(logit_NK, np.zeros((50, 4)))
    assert apart["auroc"] > 0.99
    assert known_from_other(np.zeros((50, 4)), logit_NK)["auroc"] < 0.01


def test_each_corruption_at_each_severity_is_scored(answers):
    logit_NK, label_N = answers
    found = corrupted_scores(np.stack([np.stack([logit_NK, 0 * logit_NK])] * 3), label_N, 15)
    assert found.shape == (3, 2, 3)
    assert found[1, 0].tolist() == [
        calibration.accuracy(logit_NK, label_N),
        calibration.negative_log_likelihood(logit_NK, label_N),
        calibration.expected_calibration_error(logit_NK, label_N, 15),
    ]
    assert found[2, 1, 1] == pytest.approx(np.log(4))


def test_the_share_of_the_least_used_expert():
    assert least_used(np.full((4, 10), 7)) == 1
    assert least_used(np.array([[0, 0], [5, 5]])) == 0
    assert least_used(np.array([[1, 0], [2, 1], [4, 0]])) == pytest.approx(1 / 8 * 3)
