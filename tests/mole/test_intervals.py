"""Prediction intervals: the running scale against a loop, conformal ranks against a count, nothing known too early."""

import math

import numpy as np
import pytest
import torch

from pipeline.core.errors import ExpectedError
from pipeline.mole.data.resident_windows import ResidentWindows, WindowBatch
from pipeline.mole.data.season import phase_of
from pipeline.mole.data.step import Step
from pipeline.mole.data.windows import Windows
from pipeline.mole.evaluation.interval_scores import interval_scores
from pipeline.mole.metrics.intervals import IntervalScores
from pipeline.mole.model import calibration
from pipeline.mole.model.calibration import calibrate, errors_of
from pipeline.mole.model.intervals import LEVELS, Intervals, calibrated, running_scale
from pipeline.mole.model.tracking import RATE, ROUNDING, factor_after, factors

HOUR = Step(seconds=3600)


def slow_scale(error: np.ndarray, scale: np.ndarray, phase: np.ndarray, seasons: int, prior: int) -> np.ndarray:
    found, season = np.empty(error.shape), len(scale)
    for n, c, h in np.ndindex(*error.shape):
        known = [abs(error[m, c, h]) for m in range(n - season, -1, -season) if m + h < n][:seasons]
        found[n, c, h] = (sum(known) + prior * scale[phase[n], c, h]) / (len(known) + prior)
    return found


@pytest.mark.parametrize(("season", "horizon"), [(4, 9), (4, 4), (5, 3), (1, 6)])
@pytest.mark.parametrize(("seasons", "prior"), [(3, 2), (0, 1), (100, 7)])
def test_the_running_scale_is_that_of_a_loop(season: int, horizon: int, seasons: int, prior: int) -> None:
    error = torch.randn(30, 2, horizon, generator=torch.Generator().manual_seed(0))
    scale, phase = torch.rand(season, 2, horizon) + 0.5, (torch.arange(30) + 2) % season
    found = running_scale(error, scale, phase, seasons, prior)
    slow = slow_scale(error.numpy(), scale.numpy(), phase.numpy(), seasons, prior)
    np.testing.assert_allclose(found, slow, rtol=2e-6)


def test_a_scale_knows_nothing_of_rows_that_are_not_there_yet() -> None:
    """Window m forecasts rows m to m + H - 1; all errors of rows from n on may change, and window n keeps its scale."""
    error, scale, phase, n = torch.rand(40, 1, 7), torch.ones(3, 1, 7), torch.arange(40) % 3, 25
    later = torch.where((torch.arange(40)[:, None] + torch.arange(7) >= n)[:, None], 99.0, error)
    before, after = (running_scale(one, scale, phase, 7, 3) for one in (error, later))
    assert torch.equal(before[: n + 1], after[: n + 1])
    assert not torch.equal(before[n + 1 :], after[n + 1 :])


def test_quantiles_are_the_conformal_ranks_and_levels_without_one_are_left_out() -> None:
    error = torch.arange(1.0, 20.0)[:, None, None]  # 19 windows: ranks 1 and 19 are levels 0.05 and 0.95
    phase = torch.zeros(19, dtype=torch.int64)
    found = calibrated(error, phase, season=1, seasons=0)
    assert found.levels == LEVELS[2:-2]
    ratios = {level: float(found.quantile(level) * found.scale_SCH) for level in (0.05, 0.5, 0.9, 0.95)}
    assert ratios == pytest.approx({0.05: 1, 0.5: 10, 0.9: 18, 0.95: 19})
    with pytest.raises(
        ExpectedError, match=r"the quantile 0.975 is not calibrated: that takes 39 windows .* 0.05, 0.1"
    ):
        found.quantile(0.975)
    with pytest.raises(ExpectedError, match=r"the quantile 0.123 is not calibrated: there are 0.05, 0.1"):
        found.quantile(0.123)
    with pytest.raises(ExpectedError, match=r"that takes 19 windows .* there are 0.5"):
        calibrated(error[:1], phase[:1], season=1).quantile(0.05)
    with pytest.raises(ValueError, match="no window"):
        calibrated(error[:0], phase[:0], season=1)


def test_a_forecast_without_errors_has_intervals_without_width() -> None:
    phase, none = torch.arange(50) % 2, torch.zeros(50, 2, 3)
    found = calibrated(none, phase, season=2)
    assert torch.equal(found.quantile(0.95) * found.running_scale(none, phase), none)


def test_stretches_are_calibrated_as_one_in_which_what_was_before_is_known() -> None:
    parts, season = [torch.randn(60, 2, 4), 3 * torch.randn(40, 2, 4)], 3
    error, phase = torch.cat(parts), torch.arange(100) % season
    found = calibrated(error, phase, season=season)
    for place, scale in enumerate(found.scale_SCH):
        of = error.abs()[phase == place]
        torch.testing.assert_close(scale, (of.sum(0) + 3 * error.abs().mean(0)) / (len(of) + 3))
    ratios = (error / running_scale(error, found.scale_SCH, phase, 7, 3)).sort(0).values
    torch.testing.assert_close(found.quantile(0.95), ratios[math.ceil(0.95 * 101) - 1])
    plain = calibrated(error, phase, season=season, seasons=0)
    torch.testing.assert_close(plain.scale_SCH, error.abs().mean(0).expand(3, -1, -1))


def test_stretches_that_do_not_follow_each_other_are_refused() -> None:
    """48 windows each: two rows after the end of the first, the second begins at another hour."""
    whole = calibrate([(nothing, noise(54)), (nothing, noise(54, first=48))], HOUR)
    assert len(whole.scale_SCH) == 24
    with pytest.raises(ValueError, match="do not follow each other"):
        calibrate([(nothing, noise(54)), (nothing, noise(54, first=50))], HOUR)


@pytest.mark.parametrize("put_forward", [20, 48, 50, 60])
def test_clocks_may_be_put_forward_within_a_stretch_and_between_two(put_forward: int) -> None:
    """The second stretch begins at row 48, and the first ends at row 53."""
    stretches = [(nothing, noise(54, first=first, put_forward=put_forward)) for first in (0, 48)]
    changed, plain = (calibrate(of, HOUR) for of in (stretches, [(nothing, noise(54)), (nothing, noise(54, first=48))]))
    assert torch.isfinite(changed.quantile_QCH).all()
    torch.testing.assert_close(changed.scale_SCH.mean(0), plain.scale_SCH.mean(0), rtol=0.1, atol=0)


def test_the_phase_is_the_place_in_the_season_by_the_clock() -> None:
    hours = np.arange(50, dtype=np.int64) * 3600
    assert phase_of(HOUR, hours).tolist() == [*range(24), *range(24), 0, 1]
    for calendar, first, expected in (("MS", "2019-11-01", [10, 11, 0, 1]), ("3ME", "2019-09-30", [2, 3, 0, 1])):
        step = Step(calendar=calendar)
        stamp = np.datetime64(first, "s").astype(np.int64)
        assert phase_of(step, np.concatenate([[stamp], step.after(int(stamp), 3)])).tolist() == expected
    friday = np.datetime64("2024-03-01", "s").astype(np.int64)
    business = Step(calendar="B")
    assert phase_of(business, np.concatenate([[friday], business.after(int(friday), 2)])).tolist() == [4, 0, 1]


def noise(
    rows: int, factor: np.ndarray | float = 1.0, seed: int = 0, first: int = 0, put_forward: int | None = None
) -> ResidentWindows:
    """Windows of two channels of noise; the forecast of it is 0, so the values are the errors. From the row
    `put_forward` on the clock is an hour ahead."""
    value = np.random.default_rng(seed).normal(size=(2, rows)) * factor
    hour = np.arange(first, first + rows, dtype=np.int64)
    stamp = (hour + (put_forward is not None and hour >= put_forward)) * 3600
    windows = Windows(value.astype(np.float32), np.zeros((rows, 4), np.float32), stamp, lookback=2, horizon=5)
    return ResidentWindows(windows, 64, torch.device("cpu"))


def nothing(batch: WindowBatch) -> torch.Tensor:
    return torch.zeros_like(batch.y_BCH)


def scored(windows: ResidentWindows, intervals: Intervals, judged: int) -> IntervalScores:
    hour_T = torch.arange(windows.windows + 4) % 24
    found = interval_scores(nothing, windows, judged, intervals, HOUR, 0.9, hour_T.unfold(0, 5, 1)[-judged:])
    assert found is not None
    return found


def test_intervals_cover_what_they_say_at_every_hour_and_follow_noise_that_changes() -> None:
    """Both kinds cover 90 % of the calibration rows' own noise; by night, which is calm, the plain ones cover all.
    Where the noise halves, the running ones follow."""
    rows, judged = 24 * 400, 24 * 380
    night = np.where(np.arange(rows) % 24 < 6, 0.2, 1.0)
    running, plain = (calibrate([(nothing, noise(rows, night))], HOUR, seasons=one) for one in (7, 0))
    same, same_plain = (scored(noise(rows, night, seed=1), one, judged) for one in (running, plain))
    assert same.coverage == pytest.approx(0.9, abs=0.015)
    assert same_plain.coverage == pytest.approx(0.9, abs=0.015)
    assert set(same.coverage_by_hour) == set(range(24))
    assert all(0.85 <= share <= 0.95 for share in same.coverage_by_hour.values())
    assert same_plain.coverage_by_hour[3] == 1.0
    assert same.crps < 0.97 * same_plain.crps
    assert same.score < same_plain.score
    calmer, calmer_plain = (scored(noise(rows, night / 2, seed=2), one, judged) for one in (running, plain))
    assert calmer.coverage == pytest.approx(0.9, abs=0.015)
    assert calmer_plain.coverage > 0.98
    assert calmer.score < 0.85 * calmer_plain.score


def test_channels_taken_in_turn_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = noise(400)
    whole = calibrate([(nothing, windows)], HOUR)
    scores = scored(windows, whole, 100)
    monkeypatch.setattr(calibration, "MOST_ERRORS", 1)
    parts = calibrate([(nothing, windows)], HOUR)
    assert torch.equal(whole.quantile_QCH, parts.quantile_QCH)
    assert torch.equal(whole.scale_SCH, parts.scale_SCH)
    again = scored(windows, parts, 100)
    assert (again.coverage, again.width, again.score, again.crps) == pytest.approx(
        (scores.coverage, scores.width, scores.score, scores.crps), abs=1e-12
    )
    assert again.coverage_by_hour == pytest.approx(scores.coverage_by_hour)
    assert errors_of(nothing, windows, slice(1, 2)).shape == (394, 1, 5)


def test_what_is_not_calibrated_is_not_scored() -> None:
    few, enough = (calibrated(torch.randn(n, 2, 5), torch.arange(n) % 24, season=24) for n in (10, 30))
    assert interval_scores(nothing, noise(60), 10, few, HOUR, 0.9, None) is None
    found = interval_scores(nothing, noise(60), 10, enough, HOUR, 0.9, None)
    assert found is not None
    assert found.coverage_by_hour == {}


def slow_factors(error: np.ndarray, scale: np.ndarray, low: np.ndarray, high: np.ndarray, season: int) -> np.ndarray:
    found = np.empty(error.shape)
    for n, c, h in np.ndindex(*error.shape):
        log, place = 0.0, n % season
        for now in range(place, n + 1, season):  # every window of this place up to it
            m = now - season * (h // season + 1)
            if m >= 0:
                assert m + h < now  # its truth is known
                factor = np.exp(log) * scale[m, c, h] * (1 + ROUNDING)
                inside = factor * min(low[c, h], 0) <= error[m, c, h] <= factor * max(high[c, h], 0)
                log = np.clip(log + RATE * (-0.1 if inside else 0.9), -np.log(4), np.log(4))
        found[n, c, h] = np.exp(log)
    return found


@pytest.mark.parametrize(("season", "horizon"), [(4, 9), (4, 4), (5, 3), (1, 6)])
def test_factors_are_those_of_a_loop_and_of_a_window_after_the_last(season: int, horizon: int) -> None:
    generator = torch.Generator().manual_seed(0)
    before, error = torch.randn(60, 2, horizon, generator=generator), 2 * torch.randn(42, 2, horizon)
    phase = torch.arange(102) % season
    intervals = calibrated(before, phase[:60], season)
    scale = intervals.running_scale(error, phase[60:])
    low, high = intervals.quantile(0.05), intervals.quantile(0.95)
    found = factors(intervals, error, scale)
    slow = slow_factors(error.numpy(), scale.numpy(), low.numpy(), high.numpy(), season)
    np.testing.assert_allclose(found, slow, rtol=1e-5)
    last = 41
    earlier = error[last % season : last : season].clone()
    for back, of in enumerate(reversed(earlier), start=1):
        of[:, back * season :] = 99.0  # not known by then
    after = factor_after(intervals, earlier, int(phase[60 + last]))
    torch.testing.assert_close(after, found[last], rtol=1e-5, atol=0)
    assert torch.equal(factor_after(intervals, error[:0], 0), torch.ones(2, horizon))
    changed = error.clone()
    for n in range(42):  # nothing that is learned later counts
        changed[n, :, max(0, 30 - n) :] = 99.0
    torch.testing.assert_close(factors(intervals, changed, scale)[:31], found[:31])


def test_factors_follow_a_drift_and_leave_exchangeable_errors_alone() -> None:
    rows, judged = 24 * 400, 24 * 200
    intervals = calibrate([(nothing, noise(rows))], HOUR)
    for factor, gain in ((2.0, 0.5), (0.4, 0.5), (1.0, 0.0)):
        windows = noise(rows, factor, seed=1)
        error, phase = errors_of(nothing, windows), calibration.phases_of(windows, HOUR)
        scale = intervals.running_scale(error, phase)
        shares = []
        for of in (scale, scale * factors(intervals, error, scale)):
            inside = (of * intervals.quantile(0.05) <= error) & (error <= of * intervals.quantile(0.95))
            shares.append(float(inside[-judged:].double().mean()))
        without, tracked = (abs(share - 0.9) for share in shares)
        assert tracked < 0.01
        if gain:
            assert tracked < gain * without
        width = float((scale * factors(intervals, error, scale))[-judged:].mean() / scale[-judged:].mean())
        assert factor != 1.0 or width == pytest.approx(1.0, abs=0.03)


def test_plain_intervals_and_those_of_too_few_windows_have_no_factor() -> None:
    error, phase = torch.randn(50, 2, 5), torch.arange(50) % 24
    for intervals in (calibrated(error, phase, 24, seasons=0), calibrated(error[:10], phase[:10], 24)):
        assert torch.equal(factors(intervals, error, torch.ones_like(error)), torch.ones_like(error))
        assert torch.equal(factor_after(intervals, error[:2], 0), torch.ones(2, 5))
