"""The closed-form expectation of a response: against the joint Gaussian written out, and on responses of known form."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from pipeline.cfm_vc.model.response_prior import NOISE, OWN_EXPRESSION, ResponsePrior, _Contexts

CONTEXTS, GENES = 5, 7


@pytest.fixture
def random():
    return np.random.default_rng(0)


def study(random, contexts=CONTEXTS, labels=(1,)):
    control = {code: random.uniform(0, 2, GENES) for code in range(contexts)}
    change = {(code, label): random.normal(0, 0.3, GENES) for code in control for label in labels}
    return control, change


def reference(prior, control, change, x, label=1):
    """Gene by gene, with the flat mean as one of very large variance."""
    codes = sorted(code for code, other in change if other == label)
    x_CG = np.stack([control[code] for code in codes])
    y_CG = np.stack([change[code, label] for code in codes])
    alike = np.exp(-((cdist(x_CG, x_CG) / prior.scale) ** 2))
    to_x = np.exp(-((cdist(x[None], x_CG)[0] / prior.scale) ** 2))
    expected = []
    for g in range(GENES):
        own = prior.own * np.outer(x_CG[:, g], x_CG[:, g])
        covariance = alike + own + 1e7 + prior.noise * np.eye(len(codes))
        across = to_x + prior.own * x[g] * x_CG[:, g] + 1e7
        rest = y_CG[:, g] - prior.fall * x_CG[:, g]
        expected.append(prior.fall * x[g] + across @ np.linalg.solve(covariance, rest))
    return np.maximum(expected, -x)


@pytest.mark.parametrize("contexts", [1, 2, 5])
def test_it_is_the_mean_of_the_joint_gaussian(random, contexts):
    control, change = study(random, contexts)
    prior = ResponsePrior.fit(control, change)
    x = random.uniform(0, 2, GENES)
    np.testing.assert_allclose(prior(x, 1), reference(prior, control, change, x), atol=1e-5)


def test_contexts_are_left_out_in_closed_form_as_one_by_one(random):
    control, change = study(random)
    prior = replace(ResponsePrior.fit(control, change), own=OWN_EXPRESSION[2], noise=NOISE[4], fall=-0.3)
    found, of = prior.left_out(), prior.contexts[1]
    for out in range(CONTEXTS):
        rest = [code for code in range(CONTEXTS) if code != out]
        alike_CC = of.similarity_CC[np.ix_(rest, rest)]
        left = _Contexts(rest, of.control_CG[rest], of.change_CG[rest] + 9, alike_CC)  # + 9: no gene falls below 0
        without = replace(prior, contexts={1: left})
        np.testing.assert_allclose(without(control[out], 1) - 9, found[out, 1], atol=1e-9)
        assert prior.left_out_variances()[out, 1] == pytest.approx(without.variance(control[out], 1))


def test_what_is_expressed_falls_in_proportion(random):
    """Every gene falls by 40 % of what a context expresses, but for two that are induced everywhere alike."""
    control = {code: random.uniform(0, 2, GENES) * (random.random(GENES) < 0.6) for code in range(6)}
    induced = np.array([1.5, 1.0] + [0.0] * (GENES - 2))
    change = {(code, 1): induced - 0.4 * x for code, x in control.items() if code < 5}
    prior = ResponsePrior.fit(control, change)
    np.testing.assert_allclose(prior(control[5], 1), induced - 0.4 * control[5], atol=0.05)
    mean = np.mean([change[code, 1] for code in range(5)], axis=0)
    assert np.abs(mean - induced + 0.4 * control[5]).max() > 0.2  # negative control: the mean change is wrong


def test_a_context_that_was_measured_is_remembered_and_one_unlike_all_gets_the_mean(random):
    control, _ = study(random)
    change = {(code, 1): np.full(GENES, 0.2 * code) for code in control}
    control = {code: x + 10 * code for code, x in control.items()}
    prior = ResponsePrior(ResponsePrior.fit(control, change).contexts, 5.0, 0.0, 0.0, 1e-6)
    contexts = prior.contexts[1]
    apart = {1: replace(contexts, similarity_CC=np.eye(CONTEXTS))}
    prior = ResponsePrior(apart, 5.0, 0.0, 0.0, 1e-6)
    np.testing.assert_allclose(prior(control[3], 1), 0.6, atol=1e-3)
    np.testing.assert_allclose(prior(control[3] + 1e3, 1), 0.4, atol=1e-9)


def test_reliability_is_that_of_the_joint_gaussian(random):
    control, change = study(random)
    prior = replace(ResponsePrior.fit(control, change), own=OWN_EXPRESSION[2], noise=NOISE[4], fall=-0.3)

    def variance(x, codes):
        """Gene by gene, with the flat mean as one of very large variance, as in `reference`."""
        x_CG = np.stack([control[code] for code in codes])
        alike = np.exp(-((cdist(x_CG, x_CG) / prior.scale) ** 2))
        to_x = np.exp(-((cdist(x[None], x_CG)[0] / prior.scale) ** 2))
        found = []
        for g in range(GENES):
            own, across = prior.own * np.outer(x_CG[:, g], x_CG[:, g]), to_x + prior.own * x[g] * x_CG[:, g] + 1e6
            covariance = alike + own + 1e6 + prior.noise * np.eye(len(codes))
            found.append(1 + prior.own * x[g] ** 2 + 1e6 + prior.noise - across @ np.linalg.solve(covariance, across))
        return np.mean(found)

    left_out, sampling_C = prior.left_out(), random.uniform(0, 0.01, CONTEXTS)
    missed = [np.mean((left_out[code, 1] - change[code, 1]) ** 2) for code in range(CONTEXTS)] - sampling_C
    expected = [variance(control[code], [c for c in range(CONTEXTS) if c != code]) for code in range(CONTEXTS)]
    x = random.uniform(2, 4, GENES)  # no gene falls below 0
    error = sum(missed) / sum(expected) * variance(x, range(CONTEXTS))
    foreseen = np.var(prior(x, 1))
    assert prior.reliability(x, 1, sampling_C) == pytest.approx(foreseen / (foreseen + error), rel=1e-4)


def test_reliability_is_the_slope_of_the_expected_on_the_true_change(random):
    """Responses drawn from the process. Far from what was measured less is foreseen, and it is known to be less."""
    genes, count = 20_000, 6
    # Three contexts like one another, three like another; then a new one like the first three, and one like none.
    kinds = random.uniform(0, 2, (3, genes))
    x = kinds[[0, 1, 0, 1, 0, 1, 0, 2]] + 0.1 * random.uniform(0, 1, (count + 2, genes))
    measured = dict(enumerate(x[:count]))
    scale = ResponsePrior.fit(measured, {(code, 1): x[code] for code in range(count)}).scale
    covariance = np.exp(-((cdist(x, x) / scale) ** 2)) + 0.05 * np.eye(count + 2)
    y = 2 + random.normal(0, 0.2, genes) + 0.2 * np.linalg.cholesky(covariance) @ random.normal(size=(count + 2, genes))
    fitted = ResponsePrior.fit(measured, {(code, 1): y[code] for code in range(count)})
    prior = replace(fitted, fall=0.0, own=0.0, noise=0.05)
    found = [prior.reliability(x[new], 1, np.zeros(count)) for new in (count, count + 1)]
    slopes = [np.cov(prior(x[new], 1), y[new])[0, 1] / y[new].var() for new in (count, count + 1)]
    np.testing.assert_allclose(found, slopes, atol=0.05)  # the mean, estimated as well, makes a difference
    assert found[0] > found[1] + 0.1


def test_what_sampling_explains_is_no_miss(random):
    control, change = study(random)
    prior = ResponsePrior.fit(control, change)
    assert prior.reliability(control[0], 1, np.full(CONTEXTS, 9.0)) == 1.0
    assert prior.reliability(control[0], 1, np.zeros(CONTEXTS)) < 0.9
    alone = ResponsePrior.fit(control, {(0, 1): change[0, 1]})
    assert alone.reliability(control[1], 1, np.zeros(1)) == 1.0


def test_no_gene_falls_below_zero(random):
    control, change = study(random)
    prior = ResponsePrior.fit(control, {group: y - 5 for group, y in change.items()})
    x = random.uniform(0, 2, GENES)
    assert (prior(x, 1) >= -x).all()


def test_nothing_to_leave_out_gives_the_mean_change(random):
    control, change = study(random, 3, labels=(1, 2, 3))
    alone = {group: y for group, y in change.items() if group[0] + 1 == group[1]}
    prior = ResponsePrior.fit(control, alone)
    assert (prior.fall, prior.own) == (0.0, 0.0)
    np.testing.assert_allclose(prior(np.full(GENES, 9.0), 2), change[1, 2])
    with pytest.raises(ValueError, match="needs a change"):
        ResponsePrior.fit(control, {})
    with pytest.raises(KeyError):
        prior(np.zeros(GENES), 7)


def test_of_very_many_perturbations_some_are_enough(random, monkeypatch):
    control, change = study(random, 3, labels=range(1, 8))
    monkeypatch.setattr("pipeline.cfm_vc.model.response_prior.MOST_PERTURBATIONS", 3)
    some = ResponsePrior.fit(control, change)
    monkeypatch.undo()
    third = {group: y for group, y in change.items() if group[1] in (1, 4, 7)}
    same = ResponsePrior.fit(control, third)
    assert (some.fall, some.own, some.noise) == (same.fall, same.own, same.noise)
    assert some.contexts.keys() == set(range(1, 8))
