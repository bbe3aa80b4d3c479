"""Earlier origins: which rows they hold, and that nothing of what came later is in them."""

from itertools import pairwise

import numpy as np
import pytest

from pipeline.core.errors import ExpectedError
from pipeline.mole.data.rolling_origin import calibration_windows, earlier_origins
from pipeline.mole.data.scaler import fit_scaler
from pipeline.mole.data.series import Series
from pipeline.mole.data.step import Step
from pipeline.mole.data.windows import windows_of


def series(train: tuple[int, int] = (0, 60), rows: int = 100) -> Series:
    value_TC = np.random.default_rng(0).normal(size=(rows, 2)) + np.arange(rows)[:, None]
    splits = {"train": train, "validation": (train[1], 80), "test": (80, rows)}
    return Series(3600 * np.arange(rows), value_TC, ("a", "b"), Step(3600), splits)


def test_the_later_half_of_train_is_validated_part_by_part() -> None:
    whole = series()
    found = [origin.splits for origin in earlier_origins(whole, 3, 8, 4)]
    assert [one["train"] for one in found] == [(0, 30), (0, 40), (0, 50)]
    assert [one["validation"] for one in found] == [(30, 40), (40, 50), (50, 60)]
    assert all(after == first for first, after in (one["test"] for one in found))
    assert whole.splits["validation"] == (60, 80)


def test_parts_meet_and_end_with_train_where_rows_do_not_divide() -> None:
    found = [origin.splits for origin in earlier_origins(series((3, 62)), 4, 8, 4)]
    cuts = [one["validation"] for one in found]
    assert cuts[0][0] == 32
    assert cuts[-1][1] == 62
    assert all(left[1] == right[0] for left, right in pairwise(cuts))
    assert [one["train"] for one in found] == [(3, first) for first, _ in cuts]


def test_an_origin_knows_nothing_of_later_rows() -> None:
    """Scale and windows of the first origin are the same whatever comes after its validation rows."""
    whole = series()
    later_TC = whole.value_TC.copy()
    later_TC[40:] += 1000.0
    changed = Series(whole.date_T, later_TC, whole.channels, Step(3600), whole.splits)
    one, other = (earlier_origins(each, 3, 8, 4)[0] for each in (whole, changed))
    assert fit_scaler(one).described() == fit_scaler(other).described()
    assert fit_scaler(one).described() != fit_scaler(whole).described()
    for split in ("train", "validation"):
        rows = [windows_of(each, fit_scaler(each), split, 8, 4).value_CT for each in (one, other)]
        np.testing.assert_array_equal(*rows)
    assert len(windows_of(one, fit_scaler(one), "validation", 8, 4)) == 10 - 4 + 1


def test_no_origin_is_no_series() -> None:
    assert earlier_origins(series(), 0, 1000, 1000) == []


@pytest.mark.parametrize(("count", "lookback", "horizon"), [(3, 27, 4), (3, 8, 11), (31, 2, 2)])
def test_too_few_rows_are_refused_with_what_to_lower(count: int, lookback: int, horizon: int) -> None:
    with pytest.raises(ExpectedError, match=r"mole\.sweep\.recipe\.earlier_origins \(\d+\) leaves 30 rows to train on"):
        earlier_origins(series(), count, lookback, horizon)


@pytest.mark.parametrize(("count", "lookback", "horizon"), [(3, 8, 4), (1, 8, 20), (4, 2, 1), (0, 8, 20)])
def test_windows_to_calibrate_by_follow_each_other_up_to_the_last_validation_row(
    count: int, lookback: int, horizon: int
) -> None:
    whole = series()
    found = calibration_windows(whole, count, lookback, horizon)
    first_N = np.concatenate([of.stamp_T[lookback:][: len(of)] for of in found]) // 3600  # the row forecast first
    begin = 60 if count == 0 else 30
    np.testing.assert_array_equal(first_N, np.arange(begin, 80 - horizon + 1))
    known = [*earlier_origins(whole, count, lookback, horizon), whole]
    for of, origin in zip(found, known, strict=True):
        plain = windows_of(origin, fit_scaler(origin), "validation", lookback, horizon)
        np.testing.assert_array_equal(of.y(slice(len(plain))), plain.y(slice(None)))  # in the scale of its train rows
        assert first_N[-1] + horizon <= whole.splits["test"][0]
