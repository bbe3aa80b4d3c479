"""The split-half ceiling: high where the truth is well measured, low where it is noise."""

import numpy as np

from pipeline.data.groups import Moments
from pipeline.metrics.ceiling import split_half_scores
from pipeline.metrics.populations import space_of


def moments(expression):
    return Moments(len(expression), expression.mean(axis=0, dtype=float), (expression.astype(float) ** 2).sum(axis=0))


def scores(effect, cells=200):
    random = np.random.default_rng(0)
    control = random.normal(size=(cells, 30)).astype(np.float32)
    truth = random.normal(size=(cells, 30)).astype(np.float32) + np.float32(effect) * np.linspace(-1, 1, 30, dtype="f")
    rank = np.argsort(np.argsort(-np.abs(truth.mean(axis=0)), kind="stable")) + 1
    halves = moments(truth[: cells // 2]), moments(truth[cells // 2 :])
    space = space_of(truth, control, 10)
    return split_half_scores(halves, truth, moments(control).mean_G, rank, [20], space)


def test_a_strong_effect_is_nearly_reproduced():
    found = scores(effect=2.0)
    assert found["pearson_change"] > 0.98
    assert found["pearson_change_top20"] > 0.98
    assert abs(found["e_distance"]) < 0.1
    assert abs(found["mmd"]) < 0.02


def test_more_cells_raise_it():
    assert scores(effect=0.3, cells=40)["pearson_change"] < scores(effect=0.3, cells=2000)["pearson_change"]


def test_too_few_cells_for_two_populations_leave_their_distance_undefined():
    found = scores(effect=2.0, cells=3)
    assert found["e_distance"] is None
    assert found["mmd"] is None
    assert found["mse"] > 0
