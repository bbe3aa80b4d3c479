"""Baselines that learn from the other contexts: the nearest one, and kernel ridge regression on all of them."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge as SklearnKernelRidge

from pipeline.cfm_vc.data.groups import Moments
from pipeline.cfm_vc.model.baselines import additive_shift, nearest_context
from pipeline.cfm_vc.model.kernel_ridge import PENALTIES, KernelRidge
from pipeline.cfm_vc.model.question import Question

CONTROL, DRUG, OTHER, RARE = 0, 1, 2, 3
DOSES = np.eye(4, 3, k=-1, dtype=np.float32)
GENES = 6


def moments(mean_G):
    return Moments(4, np.asarray(mean_G, dtype=float), np.zeros(len(mean_G)))


def question(known, perturbation=DRUG, cell_type=2):
    cells_BG = np.full((2, len(known[cell_type, CONTROL].mean_G)), 30, np.float32)
    return Question(cell_type, perturbation, CONTROL, DOSES[perturbation], DOSES, None, cells_BG, 100.0, known)


def contexts(noise, bend=2.0, number=8):
    """Contexts on a curve, with effects of two drugs that turn along it; RARE was seen in one context only."""
    random = np.random.default_rng(0)
    axis_G, bent_G, shared_PG, turning_PG = *random.normal(size=(2, GENES)), *random.normal(size=(2, 2, GENES))
    known = {}
    for cell_type, place in enumerate(np.linspace(-1, 1, number)):
        known[cell_type, CONTROL] = moments(20 + 2 * place * axis_G + place**2 * bent_G)
        for label in (DRUG, OTHER):
            change_G = shared_PG[label - 1] + np.sin(bend * place) * turning_PG[label - 1]
            known[cell_type, label] = moments(
                known[cell_type, CONTROL].mean_G + change_G + random.normal(0, noise, GENES)
            )
    known[1, RARE] = moments(known[1, CONTROL].mean_G + 5)
    return known


def change_of(known, cell_type, label):
    return known[cell_type, label].mean_G - known[cell_type, CONTROL].mean_G


def test_the_nearest_context_is_that_of_the_most_alike_controls():
    known = {
        (0, CONTROL): moments([1, 1]),
        (0, DRUG): moments([3, 1]),
        (1, CONTROL): moments([4, 5]),
        (1, DRUG): moments([4, 8]),
        (2, CONTROL): moments([3, 3]),
        (3, CONTROL): moments([3, 3.1]),  # has not seen the drug
        (4, DRUG): moments([9, 9]),  # has no controls
    }
    prediction = nearest_context(question(known))
    np.testing.assert_array_equal(prediction.mean_G, [3, 6])
    np.testing.assert_array_equal(prediction.population_BG, [[30, 33]] * 2)
    known[2, CONTROL] = moments([2, 2])
    np.testing.assert_array_equal(nearest_context(question(known)).mean_G, [4, 2])


def plain_kernel_ridge(known, cell_type, perturbation):
    """By scikit-learn, with every fold and penalty in turn; also the penalty."""
    known = {group: value for group, value in known.items() if group != (cell_type, perturbation)}
    codes = sorted({code for code, _ in known})
    controls = np.stack([known[code, CONTROL].mean_G for code in codes])
    apart = [np.linalg.norm(controls[i] - controls[j]) for i in range(len(codes)) for j in range(i)]
    kernel = RBF(np.median(apart))(controls)  # exp(-d² / (2 · scale²))

    def predict(label, asked, left_out, penalty):
        seen = [code for code in codes if (code, label) in known and code not in left_out]
        y = np.stack([change_of(known, code, label) for code in seen])
        model = SklearnKernelRidge(alpha=penalty, kernel="precomputed")
        model.fit(kernel[np.ix_(seen, seen)], y - y.mean(axis=0))
        return y.mean(axis=0) + model.predict(kernel[[asked]][:, seen])[0]

    def error(penalty):
        return sum(
            np.sum((predict(label, code, {code}, penalty) - change_of(known, code, label)) ** 2)
            for code, label in known
            if label in (DRUG, OTHER)
        )

    penalty = min(PENALTIES, key=error)
    return predict(perturbation, cell_type, {cell_type}, penalty), penalty


@pytest.mark.parametrize("cell_type", [0, 3])
@pytest.mark.parametrize("noise", [0.1, 0.4])
def test_kernel_ridge_is_that_of_scikit_learn_with_the_penalty_that_leaving_contexts_out_chooses(noise, cell_type):
    known = contexts(noise)
    expected_G, penalty = plain_kernel_ridge(known, cell_type, DRUG)
    assert penalty not in (PENALTIES[0], PENALTIES[-1])  # else the choice would be no choice
    found_G = KernelRidge()(question(known, DRUG, cell_type)).mean_G - known[cell_type, CONTROL].mean_G
    np.testing.assert_allclose(found_G, expected_G, rtol=1e-7)


def test_an_effect_that_turns_with_the_context_is_learned():
    known = contexts(noise=0.0)
    truth_G = known.pop((5, DRUG)).mean_G
    errors = {
        method: np.abs(method(question(known, DRUG, 5)).mean_G - truth_G).max()
        for method in (KernelRidge(), nearest_context, additive_shift)
    }
    kernel, nearest, mean = errors.values()
    assert kernel < 0.3 * nearest < 0.6 * mean


def test_where_the_context_tells_nothing_it_is_hardly_worse_than_the_mean_of_the_others():
    """Negative control: effects drawn anew in each context."""
    errors = {"kernel": 0.0, "mean": 0.0}
    for seed in range(20):
        random = np.random.default_rng(seed)
        known = {(code, CONTROL): moments(20 + random.normal(size=50)) for code in range(8)}
        known |= {(code, DRUG): moments(known[code, CONTROL].mean_G + random.normal(size=50)) for code in range(8)}
        for name, method in (("kernel", KernelRidge()), ("mean", additive_shift)):
            answer_G = method(question(known)).mean_G
            errors[name] += np.sum((answer_G - known[2, DRUG].mean_G) ** 2)
    assert errors["kernel"] < 1.05 * errors["mean"]


def test_of_one_context_its_change_is_taken_and_of_none_the_additive_one():
    known = contexts(noise=0.1)
    change_G = KernelRidge()(question(known, RARE)).mean_G - known[2, CONTROL].mean_G
    np.testing.assert_allclose(change_G, 5)
    for method in (KernelRidge(), nearest_context):
        asked = question(known, RARE, cell_type=1)  # nowhere else: the mean change of the others in this context
        np.testing.assert_array_equal(method(asked).mean_G, additive_shift(asked).mean_G)


def test_contexts_that_are_all_alike_give_the_mean_change():
    known = contexts(noise=0.1)
    known |= {(code, CONTROL): moments(np.full(GENES, 20)) for code in range(8)}
    asked = question(known)
    np.testing.assert_allclose(KernelRidge()(asked).mean_G, additive_shift(asked).mean_G, rtol=1e-9)


@pytest.mark.parametrize("method", [KernelRidge(), nearest_context])
def test_the_answer_is_never_read_and_memory_changes_nothing(method):
    known = contexts(noise=0.2)
    without = {group: value for group, value in known.items() if group != (5, DRUG)}
    fresh = KernelRidge() if isinstance(method, KernelRidge) else method
    expected_G = fresh(question(without, DRUG, 5)).mean_G
    np.testing.assert_array_equal(method(question(known, DRUG, 5)).mean_G, expected_G)
    other = method(question(contexts(noise=1.0), DRUG, 5)).mean_G
    assert np.abs(other - expected_G).max() > 0.1
    np.testing.assert_array_equal(method(question(without, DRUG, 5)).mean_G, expected_G)
    cells = replace(question(without, DRUG, 5), expression_BG=np.zeros((3, GENES), np.float32))
    assert (method(cells).population_BG >= 0).all()
