"""Ridge maps from moments of windows against materialised windows and `torch.linalg.solve`; and their search."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.mole.data.windows import Windows
from pipeline.mole.model.ridge import RidgePath, least_squares, moments_of
from pipeline.mole.model.ridge_search import PENALTIES, Ridge, fitted, joint_losses, search_each, search_ridge
from pipeline.mole.model.window_moments import window_moments

OFFSETS = ("none", "last", "mean")
EACH = [[0], [1], [2]]  # channel a group of its own
SHAPES = [  # rows, lookback, horizon
    (200, 8, 3),
    (60, 1, 1),
    (60, 2, 30),  # a horizon longer than the lookback
    (30, 24, 6),  # one window
    (40, 24, 6),  # fewer windows of three channels than there are weights to find, with one channel
    (40, 1, 39),
]


def windows_of(value_CT: np.ndarray, lookback: int, horizon: int) -> Windows:
    rows = value_CT.shape[1]
    stamps = np.arange(rows, dtype=np.int64)
    return Windows(value_CT.astype(np.float32), np.zeros((rows, 4), np.float32), stamps, lookback, horizon)


def series(rows: int, channels: int = 3, seed: int = 0, level: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    wave = np.sin(np.arange(rows) / 3 + np.arange(channels)[:, None])
    return wave + 0.1 * rng.normal(size=(channels, rows)).cumsum(1) + 0.3 * rng.normal(size=(channels, rows)) + level


def materialised(windows: Windows, offset: str) -> tuple[Tensor, Tensor, Tensor]:
    """Lookback (R, L) and horizon (R, H) less their offset, and the offset (R, 1), of all windows and channels."""
    x_RL, y_RH = (
        torch.from_numpy(part.astype(np.float64)).flatten(0, 1)
        for part in (windows.x(slice(None)), windows.y(slice(None)))
    )
    offset_R1 = {"none": 0 * x_RL[:, :1], "last": x_RL[:, -1:], "mean": x_RL.mean(1, keepdim=True)}[offset]
    return x_RL - offset_R1, y_RH - offset_R1, offset_R1


def solved(x_RL: Tensor, y_RH: Tensor, penalty: float) -> Tensor:
    """(L, H): the map, by the normal equations; 0 where there is nothing to regress on."""
    gram_LL = x_RL.T @ x_RL
    ridge_LL = penalty * gram_LL.trace() / len(gram_LL) * torch.eye(len(gram_LL), dtype=torch.float64)
    return torch.linalg.solve(gram_LL + ridge_LL, x_RL.T @ y_RH) if gram_LL.any() else x_RL.T @ y_RH


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize(("rows", "lookback", "horizon"), SHAPES)
def test_moments_are_those_of_materialised_windows(rows: int, lookback: int, horizon: int, offset: str) -> None:
    windows = windows_of(series(rows), lookback, horizon)
    x_RL, y_RH, _ = materialised(windows, offset)
    found = moments_of(windows).without(offset)
    scale = float(moments_of(windows).xx_LL.trace())
    for moment, expected in (
        (found.xx_LL, x_RL.T @ x_RL),
        (found.xy_LH, x_RL.T @ y_RH),
        (found.yy_H, y_RH.square().sum(0)),
    ):
        torch.testing.assert_close(moment, expected, rtol=1e-12, atol=1e-13 * scale)
    assert found.pairs == len(x_RL)


@pytest.mark.parametrize("penalty", [1e-4, 0.1, 10.0])
@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize(("rows", "lookback", "horizon"), SHAPES)
def test_a_map_is_that_of_the_normal_equations(
    rows: int, lookback: int, horizon: int, offset: str, penalty: float
) -> None:
    windows = windows_of(series(rows), lookback, horizon)
    x_RL, y_RH, offset_R1 = materialised(windows, offset)
    weight_LH = solved(x_RL, y_RH, penalty)
    path = RidgePath(moments_of(windows), offset)
    weight_HL = path.weights(penalty)
    raw_RL = torch.from_numpy(windows.x(slice(None)).astype(np.float64)).flatten(0, 1)
    torch.testing.assert_close(raw_RL @ weight_HL.T, x_RL @ weight_LH + offset_R1, rtol=1e-8, atol=1e-9)
    # and on other windows
    later = windows_of(series(rows + 11, seed=1), lookback, horizon)
    x_RL, y_RH, _ = materialised(later, offset)
    (error,) = path.errors(moments_of(later), [penalty])
    assert error == pytest.approx(float((x_RL @ weight_LH - y_RH).square().mean()), rel=1e-9)


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize(("rows", "lookback", "horizon"), SHAPES)
def test_without_a_penalty_it_is_least_squares_of_least_norm(
    rows: int, lookback: int, horizon: int, offset: str
) -> None:
    windows = windows_of(series(rows), lookback, horizon)
    x_RL, y_RH, offset_R1 = materialised(windows, offset)
    expected_RH = x_RL @ torch.linalg.pinv(x_RL) @ y_RH + offset_R1
    raw_RL = torch.from_numpy(windows.x(slice(None)).astype(np.float64)).flatten(0, 1)
    weight_HL = RidgePath(moments_of(windows), offset).weights(0.0)
    torch.testing.assert_close(raw_RL @ weight_HL.T, expected_RH, rtol=1e-6, atol=1e-6)
    if offset != "none":
        torch.testing.assert_close(weight_HL.sum(1), torch.ones(horizon, dtype=torch.float64))


def test_least_squares_is_numpys() -> None:
    windows = windows_of(series(300), 12, 5)
    x_RL, y_RH, _ = materialised(windows, "last")
    expected = np.linalg.lstsq(x_RL[:, :-1].numpy(), y_RH.numpy(), rcond=None)[0]
    np.testing.assert_allclose(least_squares(windows)[:, :-1].numpy().T, expected, rtol=1e-7, atol=1e-10)


def test_it_finds_a_linear_law_and_nothing_where_there_is_none() -> None:
    """A sine of angular frequency w is 2 cos(w) times its last value minus the one before; a random walk has no law."""
    sine = windows_of(np.sin(0.7 * np.arange(300.0))[None], 2, 1)
    found_HL = RidgePath(moments_of(sine), "none").weights(0.0)
    np.testing.assert_allclose(found_HL, [[-1, 2 * np.cos(0.7)]], atol=1e-6)
    walk = windows_of(np.random.default_rng(0).normal(size=(2, 5000)).cumsum(1), 8, 3)
    found_HL = least_squares(walk)
    np.testing.assert_allclose(found_HL[:, -1], 1, atol=0.1)
    np.testing.assert_allclose(found_HL[:, :-1], 0, atol=0.1)


@pytest.mark.parametrize("offset", OFFSETS)
def test_a_constant_channel_is_forecast_as_itself(offset: str) -> None:
    """Alone it leaves nothing to regress on after the offset; beside others it says nothing of them."""
    alone = windows_of(np.full((1, 50), 2.0), 6, 4)
    beside = windows_of(np.concatenate([np.full((1, 200), 2.0), series(200, 2)]), 6, 4)
    for windows, penalty in ((alone, 0.0), (alone, 0.1), (beside, 0.0)):
        weight_HL = RidgePath(moments_of(windows), offset).weights(penalty)
        assert torch.isfinite(weight_HL).all()
        if offset != "none":
            torch.testing.assert_close(weight_HL.sum(1), torch.ones(4, dtype=torch.float64))
    (error,) = RidgePath(moments_of(alone), offset).errors(moments_of(alone), [0.0])
    assert error == pytest.approx(0, abs=1e-14)


def test_a_level_far_from_zero_costs_little_precision() -> None:
    windows = windows_of(series(400, level=1000.0), 24, 8)
    x_RL, y_RH, _ = materialised(windows, "last")
    weight_LH = solved(x_RL, y_RH, 0.01)
    found_HL = RidgePath(moments_of(windows), "last").weights(0.01)
    torch.testing.assert_close(found_HL[:, :-1].T, weight_LH[:-1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    value_CT = series(50)
    value_CT[1, 20] = bad
    with pytest.raises(ValueError, match="not finite"):
        moments_of(windows_of(value_CT, 4, 2))


def test_too_few_rows_are_refused() -> None:
    assert window_moments(torch.ones(1, 6), 4, 2).pairs == 1
    with pytest.raises(ValueError, match="5 rows are fewer than one window of 6"):
        window_moments(torch.ones(1, 5), 4, 2)


def obvious_search(origins, lookbacks, offsets, horizon) -> Ridge:
    """Every combination, by materialised windows."""
    best = None
    for lookback in lookbacks:
        for offset in offsets:
            for penalty in PENALTIES[1:]:
                losses = []
                for value_CT, first, after in origins:
                    train = windows_of(value_CT[:, :first], lookback, horizon)
                    validation = windows_of(value_CT[:, first - lookback : after], lookback, horizon)
                    x_RL, y_RH, _ = materialised(train, offset)
                    weight_LH = solved(x_RL, y_RH, penalty)
                    x_RL, y_RH, _ = materialised(validation, offset)
                    losses.append(float((x_RL @ weight_LH - y_RH).square().mean()))
                found = Ridge(lookback, offset, penalty, tuple(losses))
                best = found if best is None or found.loss < best.loss else best
    assert best is not None
    return best


@pytest.mark.parametrize("seed", range(3))
def test_the_search_finds_what_trying_everything_finds(seed: int) -> None:
    value_CT = series(160, 2, seed)
    origins = [(value_CT, 70, 100), (value_CT, 100, 160)]
    lookbacks, horizon = (4, 12, 30), 6

    def at(lookback: int) -> list[tuple[Windows, Windows]]:
        return [
            (
                windows_of(value[:, :first], lookback, horizon),
                windows_of(value[:, first - lookback : after], lookback, horizon),
            )
            for value, first, after in origins
        ]

    found = search_ridge(at, lookbacks, OFFSETS)
    assert [(one.lookback, one.offset) for one in found] == [(rows, o) for rows in lookbacks for o in OFFSETS]
    best = min(found, key=lambda one: one.loss)
    expected = obvious_search(origins, lookbacks, OFFSETS, horizon)
    assert best[:3] == expected[:3]
    assert best.losses == pytest.approx(expected.losses, rel=1e-9)
    train, validation = at(best.lookback)[-1]
    x_RL, y_RH, _ = materialised(validation, "none")
    error = (x_RL @ fitted(best, train).T - y_RH).square().mean()
    assert float(error) == pytest.approx(best.losses[-1], rel=1e-9)


def test_losses_of_all_origins_count_alike() -> None:
    assert Ridge(4, "last", 0.1, (1.0, 4.0)).loss == pytest.approx(2.0)
    assert Ridge(4, "last", 0.1, (1.0, float("nan"))).loss == float("inf")
    assert Ridge(4, "last", 0.1, (0.0, 1.0)).loss < 1e-100


def test_maps_of_each_channel_are_searched_as_if_it_were_alone() -> None:
    value_CT = series(300)
    value_CT[1] = np.random.default_rng(5).normal(size=300)  # of no law: another penalty than the others'

    def windows(lookback: int, only: int | None = None) -> list[tuple[Windows, Windows]]:
        rows = slice(None) if only is None else slice(only, only + 1)
        return [(windows_of(value_CT[rows, :200], lookback, 4), windows_of(value_CT[rows, 200:], lookback, 4))]

    own = search_each(windows, [6, 12], OFFSETS, EACH)
    for channel, found in enumerate(own):
        alone = search_ridge(lambda lookback, channel=channel: windows(lookback, channel), [6, 12], OFFSETS)
        assert found._replace(held_out=()) == min(alone, key=lambda one: one.loss)
    (loss,) = joint_losses((one.losses for one in own), EACH)
    assert loss == pytest.approx(np.mean([found.loss for found in own]))
    assert loss < min(one.loss for one in search_ridge(windows, [6, 12], OFFSETS))
    assert len({found.penalty for found in own}) > 1
