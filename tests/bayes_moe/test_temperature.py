import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from pipeline.bayes_moe.metrics.calibration import expected_calibration_error, negative_log_likelihood
from pipeline.bayes_moe.metrics.temperature import fit_temperature


def drawn(n=20_000, seed=0):
    random = np.random.default_rng(seed)
    logit = random.normal(0, 1.5, (n, 4))
    return logit, (softmax(logit, axis=1).cumsum(1) < random.random((n, 1))).sum(1)


@pytest.mark.parametrize("sharpened", [0.3, 1.0, 3.0])
def test_finds_the_factor_that_logits_were_sharpened_by(sharpened):
    logit, label = drawn()
    found = fit_temperature(sharpened * logit, label)
    assert found == pytest.approx(sharpened, rel=0.03)
    best = minimize_scalar(lambda t: negative_log_likelihood(sharpened * logit / t, label), (0.5, 2.0))
    assert found == pytest.approx(best.x, rel=1e-4)
    assert expected_calibration_error(sharpened * logit / found, label) < 0.012


def test_one_that_is_never_wrong_or_says_nothing_has_an_end():
    label = np.arange(30) % 3
    assert fit_temperature(10 * np.eye(3)[label], label) >= 0.01
    assert 0.01 <= fit_temperature(np.zeros((30, 3)), label) <= 100
    assert fit_temperature(-10 * np.eye(3)[label], label) == 100


def test_a_logit_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        fit_temperature(np.array([[0.0, np.inf]]), np.array([0]))
