"""What a context does under every perturbation alike: against ridge regressions written out, and on known responses."""

import numpy as np
import pytest

from pipeline.cfm_vc.model.context_response import ContextResponse
from pipeline.cfm_vc.model.response_prior import ResponsePrior

GENES = 6


def pairs_of(contexts, perturbations):
    return [(context, perturbation) for context in range(contexts) for perturbation in range(1, perturbations + 1)]


def responses(random, contexts=3, perturbations=8, shift=0.3, closed=0.4, noise=0.03, genes=GENES):
    """Expected changes, measured ones, and each context's true a and c."""
    expected = {pair: random.normal(0, 0.5, genes) for pair in pairs_of(contexts, perturbations)}
    own = {
        context: (random.normal(0, shift, genes), -1.0 * (random.random(genes) < closed)) for context in range(contexts)
    }
    change = {
        pair: e + own[pair[0]][0] + own[pair[0]][1] * e + random.normal(0, noise, genes) for pair, e in expected.items()
    }
    return expected, change, own


def ridge(e_P, t_P, shift_penalty, response_penalty):
    """a and c of one gene, as least squares with a row for each penalty."""
    rows = np.stack([np.ones_like(e_P), e_P], axis=1)
    rows = np.vstack([rows, np.diag(np.sqrt([shift_penalty, response_penalty]))])
    return np.linalg.lstsq(rows, np.concatenate([t_P - e_P, [0, 0]]), rcond=None)[0]


def test_it_is_a_ridge_regression_of_each_gene():
    expected, change, _ = responses(np.random.default_rng(0))
    fitted = ContextResponse.fit(expected, change)
    assert np.isfinite([fitted.shift_penalty, fitted.response_penalty]).all()
    for context, (a_G, c_G) in fitted.found.items():
        pairs = [pair for pair in expected if pair[0] == context]
        for gene in range(GENES):
            e_P, t_P = (np.array([of[pair][gene] for pair in pairs]) for of in (expected, change))
            wished = ridge(e_P, t_P, fitted.shift_penalty, fitted.response_penalty)
            np.testing.assert_allclose([a_G[gene], c_G[gene]], wished, atol=1e-10)


def test_pairs_are_left_out_as_one_by_one():
    expected, change, _ = responses(np.random.default_rng(1))
    fitted = ContextResponse.fit(expected, change)
    out = (1, 3)
    pairs = [pair for pair in expected if pair[0] == 1 and pair != out]
    for gene in range(GENES):
        e_P, t_P = (np.array([of[pair][gene] for pair in pairs]) for of in (expected, change))
        a, c = ridge(e_P, t_P, fitted.shift_penalty, fitted.response_penalty)
        wished = expected[out][gene] * (1 + c) + a
        np.testing.assert_allclose(fitted.left_out[out][gene], wished, atol=1e-10)


def test_shifts_and_genes_that_do_not_respond_are_found():
    random = np.random.default_rng(2)
    expected, change, own = responses(random, perturbations=30)
    fitted = ContextResponse.fit(expected, change)
    for context, (a_G, c_G) in own.items():
        np.testing.assert_allclose(fitted.found[context], (a_G, c_G), atol=0.1)
    e_G = random.normal(0, 0.5, GENES)
    np.testing.assert_allclose(fitted(0, e_G), e_G + own[0][0] + own[0][1] * e_G, atol=0.1)
    np.testing.assert_array_equal(fitted(7, e_G), e_G)  # a context of which nothing is known


def test_where_contexts_do_not_depart_hardly_anything_is_learned():
    expected, change, _ = responses(np.random.default_rng(3), contexts=20, shift=0.0, closed=0.0, noise=0.2)
    fitted = ContextResponse.fit(expected, change)
    error = np.mean([(fitted.left_out[pair] - change[pair]) ** 2 for pair in expected])
    without = np.mean([(expected[pair] - change[pair]) ** 2 for pair in expected])
    assert error <= without
    assert np.abs([fitted.left_out[pair] - expected[pair] for pair in expected]).mean() < 0.02


def test_with_one_perturbation_the_expectation_stands():
    expected, change, _ = responses(np.random.default_rng(4), perturbations=1)
    fitted = ContextResponse.fit(expected, change)
    for pair, e_G in expected.items():
        np.testing.assert_array_equal(fitted.left_out[pair], e_G)
        np.testing.assert_array_equal(fitted(pair[0], e_G), e_G)
        assert fitted.untold(pair) == 1.0
    assert ContextResponse.fit({}, {})(0, np.ones(GENES)) == pytest.approx(1.0)


def test_the_noise_of_shared_controls_is_told_by_the_other_perturbations():
    """Changes that are 0, of 40 perturbations, measured against few controls: what is left is the treated cells'."""
    random, control, treated = np.random.default_rng(5), 0.2, 0.1
    pairs = pairs_of(60, 40)
    of_controls = {context: random.normal(0, control, GENES) for context in range(60)}
    change = {pair: random.normal(0, treated, GENES) - of_controls[pair[0]] for pair in pairs}
    fitted = ContextResponse.fit({pair: np.zeros(GENES) for pair in pairs}, change)
    noise = {pair: np.full(GENES, treated**2) for pair in pairs} | {
        (c, 0): np.full(GENES, control**2) for c in range(60)
    }
    missed = np.mean([(fitted.left_out[pair] - change[pair]) ** 2 for pair in pairs])
    assert missed == pytest.approx(fitted.sampling_noise(pairs[0], noise, 0, like=0).mean(), rel=0.05)
    assert missed < 0.3 * (treated**2 + control**2)  # negative control: of both means


def test_the_prior_departs_as_the_context_does():
    """Three contexts respond alike to ten perturbations, but for a gene that is closed in one of them."""
    random = np.random.default_rng(6)
    control = {context: random.uniform(1, 2, GENES) for context in range(3)}
    effect = {label: random.normal(0, 0.5, GENES) for label in range(1, 11)}
    opened = np.ones((3, GENES))
    opened[2, 0] = 0.0
    change = {(context, label): opened[context] * effect_G for label, effect_G in effect.items() for context in control}
    del change[2, 10]
    prior = ResponsePrior.fit(control, change)
    wished = opened[2] * effect[10]
    error, without = (np.abs(prior(control[2], 10, context) - wished) for context in (2, None))
    assert without[0] > 0.1  # the other contexts alone do not know
    assert error[0] < 0.3 * without[0]


@pytest.mark.parametrize(("shift", "control_noise"), [(0.0, 0.3), (0.3, 0.3), (0.3, 0.01)])
def test_the_noise_of_few_controls_is_taken_out_of_effects(shift, control_noise):
    genes = 400
    expected, change, own = responses(np.random.default_rng(5), contexts=4, shift=shift, closed=0.0, genes=genes)
    noise = {context: np.random.default_rng(context).normal(0, control_noise, genes) for context in own}
    measured = {pair: change_G - noise[pair[0]] for pair, change_G in change.items()}
    fitted = ContextResponse.fit(expected, measured)
    for context in own:
        told_G = fitted.controls_noise(context, np.full(genes, control_noise**2))
        share = control_noise**2 / (control_noise**2 + shift**2)
        slope = float(told_G @ -noise[context]) / float(noise[context] @ noise[context])
        assert slope == pytest.approx(share, abs=0.15)  # as much as the shift tells of it, and no more
        before, after = np.mean(noise[context] ** 2), np.mean((noise[context] + told_G) ** 2)
        assert after <= 1.02 * before
        if control_noise > 0.1:
            assert after < 0.75 * before
    np.testing.assert_array_equal(fitted.controls_noise(99, np.ones(genes)), np.zeros(genes))
    np.testing.assert_array_equal(fitted.controls_noise(0, np.zeros(genes)), np.zeros(genes))
