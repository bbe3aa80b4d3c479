"""Differences between methods, with intervals over blocks of test windows."""

import numpy as np
import pytest
import torch
from scipy.stats import ttest_rel

from pipeline.metrics.results import Row
from pipeline.mole.evaluation.result_rows import Place, blocks_of, with_differences
from pipeline.mole.metrics.forecasting import Units, forecast_errors

UNITS = Units(torch.zeros(2), torch.ones(2), torch.ones(2))
HORIZON = 6


def errors(seed, size, windows=60):
    """Of forecasts whose errors have this size; the truth is the same for every seed."""
    truth = torch.randn(windows, 2, HORIZON, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(seed))
    return forecast_errors(truth + size * noise, truth, UNITS)


def rows(method, role, found, seeds=(None,)):
    names = ("mse", "mae")
    return [
        Row("horizon 6", method, role, name, getattr(one, name), seed=seed)
        for seed, one in zip(seeds, found, strict=True)
        for name in names
    ]


def difference(found, metric="mse"):
    (row,) = [row for row in found if row.method == "mixture - ridge" and row.metric == metric]
    return row


def test_blocks_are_means_over_seeds_of_windows_in_their_order():
    ours = [errors(1, 1.0), errors(2, 1.0)]
    blocks = blocks_of("horizon 6", HORIZON, [("mixture", one) for one in ours])
    found = blocks[Place("horizon 6", "mixture", "mse")]
    squares = np.mean([one.squared_B.numpy() for one in ours], axis=0)
    np.testing.assert_allclose(found, squares.reshape(10, 6).mean(1))
    assert found.mean() == pytest.approx(np.mean([one.mse for one in ours]))
    absolute = blocks[Place("horizon 6", "mixture", "mae")]
    assert absolute.mean() == pytest.approx(np.mean([one.mae for one in ours]))


@pytest.mark.parametrize(("windows", "count"), [(60, 10), (1000, 10), (23, 3), (11, 1), (5, 1)])
def test_a_block_is_no_shorter_than_the_horizon(windows, count):
    blocks = blocks_of("horizon 6", HORIZON, [("ridge", errors(0, 1.0, windows))])
    assert len(blocks[Place("horizon 6", "ridge", "mse")]) == count


def test_the_interval_is_that_of_the_paired_t_test_over_blocks():
    ours, theirs = errors(1, 1.0), errors(2, 1.3)
    blocks = blocks_of("horizon 6", HORIZON, [("mixture", ours), ("ridge", theirs)])
    found = with_differences(
        [*rows("mixture", "model", [ours], [0]), *rows("ridge", "baseline", [theirs])], {"mixture": "ridge"}, blocks
    )
    row = difference(found)
    pair = [blocks[Place("horizon 6", name, "mse")] for name in ("mixture", "ridge")]
    expected = ttest_rel(*pair).confidence_interval(0.95)
    assert (row.low, row.high) == pytest.approx((expected.low, expected.high))
    assert row.value == pytest.approx(ours.mse - theirs.mse)
    assert row.high < 0  # the positive control: errors that are smaller by a quarter


def test_seeds_that_do_not_differ_have_an_interval_all_the_same():
    """The negative control: a closed form has the same errors with every seed, and is no better than another's."""
    ours, theirs = errors(1, 1.0), errors(2, 1.0)
    blocks = blocks_of("horizon 6", HORIZON, [("mixture", ours), ("mixture", ours), ("ridge", theirs)])
    scores = [*rows("mixture", "model", [ours, ours], [0, 1]), *rows("ridge", "baseline", [theirs])]
    row = difference(with_differences(scores, {"mixture": "ridge"}, blocks))
    assert row.low < 0 < row.high


def test_of_a_single_block_the_interval_is_over_seeds():
    ours, theirs = [errors(seed, 1.0, 8) for seed in (1, 2)], errors(3, 1.0, 8)
    scores = [*rows("mixture", "model", ours, [0, 1]), *rows("ridge", "baseline", [theirs])]
    blocks = blocks_of("horizon 6", HORIZON, [*(("mixture", one) for one in ours), ("ridge", theirs)])
    assert difference(with_differences(scores, {"mixture": "ridge"}, blocks)) == difference(
        with_differences(scores, {"mixture": "ridge"}, {})
    )


def test_a_ridge_meets_every_other_baseline_since_forecasts_may_be_made_with_it():
    found = {
        "mixture": errors(1, 1.0),
        "ridge": errors(2, 1.3),
        "channel_ridge": errors(3, 1.0),
        "naive": errors(4, 2.0),
    }
    blocks = blocks_of("horizon 6", HORIZON, list(found.items()))
    scores = rows("mixture", "model", [found["mixture"]], [0])
    scores += [row for name in ("ridge", "channel_ridge", "naive") for row in rows(name, "baseline", [found[name]])]
    differences = {(row.method, row.metric): row for row in with_differences(scores, {"mixture": "mixture"}, blocks)}
    names = {method for method, _ in differences}
    assert {"ridge - channel_ridge", "channel_ridge - ridge", "ridge - naive", "channel_ridge - naive"} <= names
    assert not {"ridge - ridge", "naive - ridge", "ridge - mixture"} & names
    row = differences["channel_ridge - ridge", "mse"]
    expected = ttest_rel(*(blocks[Place("horizon 6", name, "mse")] for name in ("channel_ridge", "ridge")))
    assert row.value == pytest.approx(found["channel_ridge"].mse - found["ridge"].mse)
    assert (row.low, row.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
