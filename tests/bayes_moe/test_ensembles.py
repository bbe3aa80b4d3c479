"""The tables on deep ensembles, from what points of a sweep predict."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.bayes_moe.evaluation.ensembles import ensemble_table, power_table, pseudo_losses, worth_of
from pipeline.bayes_moe.evaluation.point_predictions import PointPredictions
from pipeline.bayes_moe.metrics.calibration import accuracy, negative_log_likelihood
from pipeline.bayes_moe.metrics.deep_ensembles import averaged, losses, subsets

SWEEP = SimpleNamespace(sparse=["sparse"], twin_of=lambda _: "dense")


def point(name: str, seeds: int, averages: int, noise: float = 2.0, own: int = 0) -> PointPredictions:
    """Networks that are the truth and noise of their own; `averages`: each is itself an ensemble of so many."""
    found = PointPredictions.__new__(PointPredictions)
    found.name, found.seeds = name, list(range(seeds))
    arrays: dict[str, np.ndarray] = {}
    for place, part in enumerate(("validation", "test", "other", "corrupted")):
        label_N = np.random.default_rng(place).integers(0, 5, 1500)
        random = np.random.default_rng([own, place])
        truth_NK = {"other": 0.0, "corrupted": 2.0}.get(part, 3.0) * np.eye(5)[label_N]
        logit_RANK = truth_NK + noise * random.standard_normal((seeds, averages, 1500, 5))
        probability = np.exp(logit_RANK) / np.exp(logit_RANK).sum(-1, keepdims=True)
        arrays |= {part: np.log(probability.mean(1)), f"{part}_label": label_N}
    arrays["corrupted"] = arrays["corrupted"].reshape(seeds, 2, 3, 250, 5)
    arrays["corrupted_label"] = arrays["corrupted_label"][:250]
    found.arrays, found.about = arrays, {"cost": {"activated_flops": 100 * averages, "trunk_flops": 70 * averages}}
    return found


def noisy(one: PointPredictions, average: PointPredictions, samples: int) -> PointPredictions:
    """A point that answers as `one` without noise, and as `average` over so many passes."""
    one.arrays |= {f"sampled_{part}": average.arrays[part] for part in ("validation", "test", "other", "corrupted")}
    one.arrays["sampled_test"] = np.stack([one.arrays["test"], average.arrays["test"]], axis=1)
    one.about["samples"] = [1, samples]
    return one


def table(sparse: PointPredictions, seeds: int = 5):
    return ensemble_table({"dense": point("dense", seeds, 1), "sparse": sparse}, SWEEP, 15)


@pytest.mark.parametrize(("averages", "noise", "worth"), [(1, 2.0, 1.0), (3, 2.0, 3.0), (1, 4.0, 1.0), (5, 1.0, 5.0)])
def test_a_point_is_worth_as_many_networks_as_it_averages(averages: int, noise: float, worth: float):
    """Controls: a single network, a worse one, and one that is better than all ensembles."""
    found = table(point("sparse", 3, averages, noise, own=7)).set_index("point").loc["sparse"]
    assert found["equivalents"] == pytest.approx(worth, abs=0.4)
    assert 1 <= found["low"] <= found["equivalents"] <= found["high"] <= 5


def test_ensembles_of_dense_networks_improve_and_cost_as_many():
    rows = table(point("sparse", 2, 1, own=7))
    dense = rows[rows["point"] == "dense"]
    assert list(dense["networks"]) == [1, 2, 3, 4, 5] == list(dense["equivalents"])
    assert list(dense["flops"]) == [100, 200, 300, 400, 500]
    for metric in ("nll", "brier", "aurc"):
        assert (np.diff(dense[metric]) < 0).all(), metric
    of_one = [
        negative_log_likelihood(logit_NK, point("dense", 5, 1).labels("test"))
        for logit_NK in point("dense", 5, 1).test_logits("scaled")
    ]
    assert dense["nll"].iloc[0] == pytest.approx(np.mean(of_one))


def test_an_average_over_passes_is_worth_what_it_averages_and_costs_what_it_repeats():
    found = table(noisy(point("sparse", 3, 1, own=7), point("sparse", 3, 3, own=8), samples=3))
    of_sparse = found[found["point"] == "sparse"].set_index("samples")
    assert list(of_sparse.index) == [0, 3]
    assert list(of_sparse["flops"]) == [100, 70 + 3 * 30]
    assert of_sparse.loc[0, "equivalents"] == pytest.approx(1.0, abs=0.4)
    assert of_sparse.loc[3, "equivalents"] == pytest.approx(3.0, abs=0.4)
    dense = found[found["point"] == "dense"]
    assert (dense["samples"] == 0).all()


def test_images_under_corruption_are_scored_all_alike_at_the_temperature_of_the_validation_images():
    sparse = point("sparse", 2, 1, own=7)
    row = table(sparse).set_index("point").loc["sparse"]
    label_N = np.concatenate([sparse.labels("corrupted")] * 6)
    flat = sparse.logits("corrupted").reshape(2, 1500, 5)
    assert row["corrupted_accuracy"] == pytest.approx(np.mean([accuracy(one, label_N) for one in flat]))
    scaled = flat / sparse.temperature_R[:, None, None]
    assert row["corrupted_nll"] == pytest.approx(np.mean([negative_log_likelihood(one, label_N) for one in scaled]))


def test_power_is_of_the_paired_differences_of_seeds():
    points = {"dense": point("dense", 4, 1), "sparse": point("sparse", 4, 3, own=7)}
    found = power_table(points, SWEEP, "sparse", 15).set_index("metric")
    nll = [
        [negative_log_likelihood(logit_NK, one.labels("test")) for logit_NK in one.test_logits("scaled")]
        for one in points.values()
    ]
    differences = np.array(nll[1]) - np.array(nll[0])
    assert found.loc["nll", "difference"] == pytest.approx(differences.mean())
    assert found.loc["nll", "deviation"] == pytest.approx(differences.std(ddof=1))
    assert found.loc["nll", "smallest"] < abs(differences.mean())
    assert found.loc["nll", "needed"] <= 4
    assert power_table({name: point(name, 1, 1) for name in points}, SWEEP, "sparse", 15).empty


def dense_and_pair(random, images: int = 300, networks: int = 5):
    """Every size of ensembles of dense networks, and three methods that are two such networks averaged each."""
    label_N = random.integers(0, 5, images)
    shared_NK = 3.0 * np.eye(5)[label_N] + random.standard_normal((images, 5))
    level_R11 = 0.1 * random.standard_normal((networks + 6, 1, 1))  # networks differ in how sure they are
    logit_RNK = (1 + level_R11) * shared_NK + 2.0 * random.standard_normal((networks + 6, images, 5))
    dense_RNK, pairs_RNK = logit_RNK[:networks], logit_RNK[networks:]

    def of_size(size: int):
        found = np.stack([losses(averaged(dense_RNK[list(of)]), label_N) for of in subsets(networks, size)])
        return SimpleNamespace(networks=size, losses=lambda: found)

    dense = [of_size(size) for size in range(1, networks + 1)]
    return dense, np.stack([losses(averaged(pairs_RNK[place : place + 2]), label_N) for place in (0, 2, 4)])


def test_the_interval_of_the_equivalents_holds_the_truth_with_other_dense_networks_too():
    """Of methods that are worth two networks. Where dense networks are taken as given, it holds it less often."""
    random, held, given = np.random.default_rng(0), [], []
    for _ in range(120):
        dense, loss_RN = dense_and_pair(random)
        pseudo_LRN = pseudo_losses(dense)
        for method, pseudo_RN in zip(dense, pseudo_LRN, strict=True):
            np.testing.assert_allclose(pseudo_RN.mean(axis=0), method.losses().mean(axis=0))
        found = worth_of(loss_RN, pseudo_LRN)
        assert 1 <= found["low"] <= found["equivalents"] <= found["high"] <= 5
        held.append(found["low"] <= 2 <= found["high"])
        fixed = worth_of(loss_RN, [pseudo_RN.mean(axis=0, keepdims=True) for pseudo_RN in pseudo_LRN])
        given.append(fixed["low"] <= 2 <= fixed["high"])
    assert np.mean(held) >= 0.9
    assert np.mean(given) < np.mean(held)


def test_the_jackknife_has_the_variance_of_the_mean_over_all_choices():
    random, means, told, label_N = np.random.default_rng(1), [], [], np.zeros(40, int)
    for _ in range(300):
        logit_RNK = np.zeros((4, 40, 2)) + [1.0, 0.0] + random.standard_normal((4, 1, 1)) * [1.0, 0.0]
        methods = [
            SimpleNamespace(
                networks=size,
                losses=lambda size=size, logit=logit_RNK: np.stack(
                    [losses(averaged(logit[list(of)]), label_N) for of in subsets(4, size)]
                ),
            )
            for size in (1, 2, 3, 4)
        ]
        pseudo_LR = np.stack(pseudo_losses(methods)).mean(axis=2)
        means.append(pseudo_LR.mean(axis=1))
        told.append(pseudo_LR.var(axis=1, ddof=1) / 4)
    np.testing.assert_allclose(np.mean(told, axis=0), np.var(means, axis=0), rtol=0.35)
