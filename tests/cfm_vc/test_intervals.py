"""Intervals of a predicted change: they cover contexts that were left out, and tell what they cannot."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.cfm_vc.model.intervals import COVERAGE, Interval, Intervals
from pipeline.cfm_vc.model.response_prior import ResponsePrior
from pipeline.metrics.perturbation import coverage

GENES = 2000


def study(seed, contexts=6, noise=lambda gene, level: 0.1, unlike=0.05):  # noqa: ARG005
    """Control means and changes that a common change and noise make; the last context is the one asked about."""
    random = np.random.default_rng(seed)
    gene = random.uniform(0, 1, GENES)
    level = np.abs(random.normal(0, 1, GENES))
    means = {}
    for code in range(contexts):
        control = np.maximum(level + random.normal(0, unlike, GENES), 0.5)
        means[code, 0] = control
        means[code, 1] = control + 0.3 * gene + random.normal(0, 1, GENES) * noise(gene, level)
    return means


def asked(means, contexts=6):
    known = {group: mean for group, mean in means.items() if group != (contexts - 1, 1)}
    controls = {code: mean for (code, label), mean in known.items() if label == 0}
    prior = ResponsePrior.fit(controls, {g: mean - controls[g[0]] for g, mean in known.items() if g[1]})
    new = controls[contexts - 1]
    exact = dict.fromkeys(known, np.zeros(GENES))
    return Intervals.of(prior, known, exact, 0), new, prior(new, 1), means[contexts - 1, 1] - new


@pytest.mark.parametrize(
    "noise",
    [lambda gene, level: 0.1, lambda gene, level: 0.02 + 0.2 * level, lambda gene, level: 0.02 + 0.3 * (gene > 0.7)],  # noqa: ARG005
)
def test_nine_of_ten_genes_are_covered_in_a_context_like_the_others(noise):
    shares = []
    for seed in range(5):
        intervals, control, change, true = asked(study(seed, noise=noise))
        shares.append(np.mean(np.abs(true - change) <= intervals.around(control, change).half_width_G()))
    assert abs(np.mean(shares) - COVERAGE) < 0.03


def test_genes_that_vary_more_between_contexts_have_wider_intervals():
    intervals, control, change, _ = asked(study(0, noise=lambda gene, level: 0.02 + 0.3 * (gene > 0.7)))  # noqa: ARG005
    gene = np.random.default_rng(0).uniform(0, 1, GENES)
    width = intervals.around(control, change).half_width_G()
    assert width[gene > 0.7].mean() > 1.5 * width[gene <= 0.7].mean()


def test_a_context_unlike_the_others_is_covered_less():
    """The negative control: a change three times as noisy as in training."""
    means = study(0)
    random = np.random.default_rng(9)
    means[5, 1] = means[5, 1] + random.normal(0, 0.3, GENES)
    intervals, control, change, true = asked(means)
    assert np.mean(np.abs(true - change) <= intervals.around(control, change).half_width_G()) < 0.6


def test_contexts_near_to_and_far_from_others_are_covered_alike():
    """Responses drawn from a process, so that a context is missed by less where it resembles others."""
    shares, without = {"near": [], "far": []}, {"near": [], "far": []}
    for seed in range(5):
        random = np.random.default_rng(seed)
        kinds = 1 + random.uniform(0, 2, (4, GENES))
        places = {"near": 0, "far": 3}
        control = {code: kinds[code // 2] + 0.1 * random.uniform(0, 1, GENES) for code in range(6)}
        new = {name: kinds[kind] + 0.1 * random.uniform(0, 1, GENES) for name, kind in places.items()}
        x = np.stack([*control.values(), *new.values()])
        scale = 2 * np.median([np.linalg.norm(a - b) for i, a in enumerate(x[:6]) for b in x[:i]])
        likeness = np.exp(-((np.linalg.norm(x[:, None] - x, axis=2) / scale) ** 2)) + 0.02 * np.eye(len(x))
        y = 0.3 * np.linalg.cholesky(likeness) @ random.normal(size=(len(x), GENES))
        means = {(code, 0): mean for code, mean in control.items()}
        means |= {(code, 1): mean + y[code] for code, mean in control.items()}
        fitted = ResponsePrior.fit(control, {(code, 1): y[code] for code in control})
        prior = replace(fitted, fall=0.0, own=0.0, noise=0.02)  # the process that they are drawn from
        intervals = Intervals.of(prior, means, dict.fromkeys(means, np.zeros(GENES)), 0)
        for place, (name, mean) in enumerate(new.items(), len(control)):
            change, error = prior(mean, 1), np.abs(y[place] - prior(mean, 1))
            known = intervals.around(mean, change, expected=prior.variance(mean, 1))
            shares[name].append(np.mean(error <= known.half_width_G()))
            without[name].append(np.mean(error <= intervals.around(mean, change).half_width_G()))
    assert abs(np.mean(shares["near"]) - COVERAGE) < 0.04
    assert abs(np.mean(shares["far"]) - COVERAGE) < 0.04
    assert np.mean(without["far"]) < np.mean(without["near"]) - 0.1  # negative control


def test_fewer_than_two_contexts_have_no_interval():
    means = study(0, contexts=2)
    controls = {code: means[code, 0] for code in range(2)}
    prior = ResponsePrior.fit(controls, {(0, 1): means[0, 1] - controls[0]})
    exact = dict.fromkeys(means, np.zeros(GENES))
    assert Intervals.of(prior, {group: mean for group, mean in means.items() if group != (1, 1)}, exact, 0) is None
    with pytest.raises(ValueError, match="two contexts"):
        Intervals(*np.zeros((3, 1, 3)), np.ones(1), np.array([4]))


def sampled(means, cells, seed):
    """The means that so many cells of each group have, by group, and the variances of these means."""
    random = np.random.default_rng(seed)
    noise = {group: np.full(GENES, 1.0 / cells[group]) for group in means}
    return {group: mean + random.normal(0, np.sqrt(noise[group])) for group, mean in means.items()}, noise


@pytest.mark.parametrize("number", [20, 1000])
def test_groups_of_few_and_of_many_cells_are_covered_alike(number):
    """The measured mean of either, and the true one; without its noise the interval covers few measured means."""
    of_measured, of_true, without_noise = [], [], []
    for seed in range(5):
        true_means = study(seed, unlike=1.0)  # contexts differ by more than noise, as cell types do
        cells = {group: 20 if group in ((1, 1), (3, 1)) else 1000 for group in true_means} | {(5, 1): number}
        means, noise = sampled(true_means, cells, seed)
        _, control, change, measured = asked(means)
        known = {group: mean for group, mean in means.items() if group != (5, 1)}
        controls = {code: mean for (code, label), mean in known.items() if label == 0}
        prior = ResponsePrior.fit(controls, {g: mean - controls[g[0]] for g, mean in known.items() if g[1]})
        interval = Intervals.of(prior, known, noise, 0).around(control, change, noise[5, 0])
        of_measured.append(np.mean(np.abs(measured - change) <= interval.half_width_G(noise[5, 1])))
        true = true_means[5, 1] - control
        of_true.append(np.mean(np.abs(true - change) <= interval.half_width_G()))
        without_noise.append(np.mean(np.abs(measured - change) <= interval.half_width_G()))
    assert abs(np.mean(of_measured) - COVERAGE) < 0.03
    assert abs(np.mean(of_true) - COVERAGE) < 0.03
    if number == 20:
        assert np.mean(without_noise) < np.mean(of_measured) - 0.05


def test_an_interval_by_hand():
    interval = Interval(2.0, np.array([0.0, 9.0]))
    np.testing.assert_allclose(interval.half_width_G(), [0.0, 6.0])
    np.testing.assert_allclose(interval.half_width_G(np.array([4.0, 16.0])), [4.0, 10.0])


def test_coverage_by_hand():
    true = np.array([[0.0, 1.0, 2.0, 3.0], [5.0, 1.0, 2.0, 3.0]])
    rank = np.array([[1, 2, 3, 4], [4, 3, 2, 1]])
    found = coverage(np.zeros((1, 4)), np.array([0.5, 2.0, 1.0, 3.0]), true, rank, 2)
    np.testing.assert_array_equal(found["coverage"], [0.75, 0.5])
    np.testing.assert_array_equal(found["coverage_top2"], [1.0, 0.5])


def test_genes_without_counts_do_not_make_intervals_narrower():
    """They are never missed, in training or in use: what others need is what counts."""
    shares = []
    for seed in range(5):
        means = study(seed)
        silent = np.arange(GENES) % 2 == 0
        for mean in means.values():
            mean[silent] = 0
        intervals, control, change, true = asked(means)
        inside = np.abs(true - change) <= intervals.around(control, change).half_width_G()
        shares.append(np.mean(inside[~silent]))
    assert abs(np.mean(shares) - COVERAGE) < 0.03


@pytest.mark.parametrize("measured", [True, False])
def test_a_context_where_nothing_was_measured_has_intervals_of_its_own(measured):
    """Contexts depart from each other under all perturbations alike; of one, their own response is or is not known."""
    random = np.random.default_rng(0)
    control = {code: random.uniform(1, 3, GENES) for code in range(8)}
    effect = {label: random.normal(0, 0.3, GENES) for label in range(1, 11)}
    shift = {code: random.normal(0, 0.4, GENES) for code in control}
    change = {(c, p): effect[p] + shift[c] + random.normal(0, 0.05, GENES) for c in control for p in effect}
    known = {pair: value for pair, value in change.items() if pair[0] != 0 or (measured and pair[1] != 10)}
    prior = ResponsePrior.fit(control, known)
    means = {pair: control[pair[0]] + value for pair, value in known.items()} | {(c, 0): x for c, x in control.items()}
    intervals = Intervals.of(prior, means, dict.fromkeys(means, np.full(GENES, 1e-4)), 0, like=0)
    found, true = prior(control[0], 10, 0), change[0, 10]
    assert 0.8 < np.mean(np.abs(true - found) <= intervals.around(control[0], found).half_width_G()) < 0.98
    slope = np.cov(found, true)[0, 1] / true.var()
    assert slope > 0.9 if measured else slope < 0.5
    assert prior.reliability(control[0], 10, np.zeros(7), 0) == pytest.approx(slope, abs=0.15)
