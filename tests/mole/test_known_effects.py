"""Effects of known columns: the fit against loops, a known truth recovered, and noise that brings nothing."""

import math

import numpy as np
import pytest

from pipeline.mole.data.known_effects import PENALTIES, KnownEffects, fit_effects
from pipeline.mole.data.scaler import Scaler, fit_scaler
from pipeline.mole.data.series import Series
from pipeline.mole.data.step import Step

ROWS, HOUR = 24 * 7 * 12, Step(3600)


def autoregression(rng: np.random.Generator, rows: int, persistence: float) -> np.ndarray:
    noise = rng.normal(size=rows)
    for row in range(1, rows):
        noise[row] += persistence * noise[row - 1]
    return noise * math.sqrt(1 - persistence**2)


def hourly(value_TC: np.ndarray, known_TCK: np.ndarray | None, step: Step = HOUR) -> Series:
    rows, channels = value_TC.shape
    splits = {"train": (0, rows), "validation": (rows, rows), "test": (rows, rows)}
    date_T = step.after(0, rows) if step.seconds is None else step.seconds * np.arange(rows)
    known = () if known_TCK is None else tuple(f"x{k}" for k in range(known_TCK.shape[2]))
    return Series(
        date_T, value_TC, tuple(f"c{c}" for c in range(channels)), step, splits, known=known, known_TCK=known_TCK
    )


def season(rows: int = ROWS) -> np.ndarray:
    """With a weekend that is lower."""
    hour = np.arange(rows)
    return np.sin(2 * np.pi * hour / 24) - 2 * (hour // 24 % 7 >= 5)


def slow(scaled_T: np.ndarray, known_TK: np.ndarray, lag: int) -> np.ndarray:
    """(K,): one channel by matrices of all rows, and a penalty after another."""
    z_TK = (known_TK - known_TK.mean(0)) / known_TK.std(0)
    x, y = (np.array([part[t] - part[t - lag] for t in range(lag, len(part))]) for part in (z_TK, scaled_T))

    def ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        deviation = x.std(0)
        a, b = (x - x.mean(0)) / deviation, y - y.mean()
        gram = a.T @ a
        found = []
        for penalty in PENALTIES[:-1]:
            inverse = np.linalg.pinv(gram + penalty * np.trace(gram) / len(gram) * np.eye(len(gram)))
            beta = inverse @ a.T @ b
            trace = np.trace(a @ inverse @ a.T)
            found.append((((b - a @ beta) ** 2).sum() / (len(b) - trace) ** 2, beta))
        found.append(((b**2).sum() / len(b) ** 2, np.zeros(len(gram))))
        return min(found, key=lambda one: one[0])[1] / deviation

    rest = y - x @ ridge(x, y)
    rest = rest - rest.mean()
    rho = sum(rest[t] * rest[t - 1] for t in range(1, len(rest))) / (rest**2).sum()
    x, y = (np.array([part[t] - rho * part[t - 1] for t in range(1, len(part))]) for part in (x, y))
    return ridge(x, y) / known_TK.std(0)


@pytest.mark.parametrize(("shared", "rows", "lag"), [(True, 400, 24), (False, 400, 24), (False, 40, 1), (True, 60, 12)])
def test_the_fit_is_that_of_loops(shared: bool, rows: int, lag: int) -> None:
    rng = np.random.default_rng(rows)
    known = rng.normal(size=(rows, 1 if shared else 3, 2)).cumsum(0) + rng.normal(size=(rows, 1 if shared else 3, 2))
    coefficient_CK = np.array([[1.0, 0.0], [0.0, 0.0], [0.05, -2.0]])
    scaled = (known * coefficient_CK).sum(2) + rng.normal(size=(rows, 3)).cumsum(0)
    found = fit_effects(("x0", "x1"), scaled, known, lag)
    for c in range(3):
        expected_K = slow(scaled[:, c], known[:, 0 if shared else c], lag)
        np.testing.assert_allclose(found.coefficient_CK[c], expected_K, rtol=1e-7, atol=1e-10)
    expected = [[(known[t, 0 if shared else c] - known.mean(0)[0 if shared else c]) @ found.coefficient_CK[c]
                 for c in range(3)] for t in range(rows)]  # fmt: skip
    np.testing.assert_allclose(found.of(known), expected, rtol=1e-9, atol=1e-12)
    restored = KnownEffects.restored(found.described())
    np.testing.assert_array_equal(restored.of(known), found.of(known))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["promotion", "price", "with the day", "with the trend"])
def test_three_for_one_is_found_beside_level_season_and_trend(kind: str, seed: int) -> None:
    """y = season + 3 x, where x is of whole days, smooth, or goes with season or trend itself; the level drifts."""
    rng, hour = np.random.default_rng(seed), np.arange(ROWS)
    x = {
        "promotion": np.repeat(rng.random(ROWS // 24) < 0.2, 24).astype(float),
        "price": 10 + autoregression(rng, ROWS, 0.95),
        "with the day": season() + 0.5 * autoregression(rng, ROWS, 0.5),
        "with the trend": hour / 500 + 0.5 * autoregression(rng, ROWS, 0.5),
    }[kind]
    y = 5 * season() + hour / 200 + 0.02 * rng.normal(size=ROWS).cumsum() + autoregression(rng, ROWS, 0.8) + 3 * x
    scaler = fit_scaler(hourly(y[:, None], x[:, None, None]))
    assert scaler.effects is not None
    assert scaler.effects.coefficient_CK[0, 0] * scaler.deviation_C[0] == pytest.approx(3, abs=0.2)
    levels = np.polyfit(x, y, 1)[0]  # the negative control: of levels as they are, the season is taken for the effect
    if kind.startswith("with"):
        assert abs(levels - 3) > 1


def test_noise_adds_next_to_nothing() -> None:
    """Of 40 columns that say nothing, half of them smooth, most have no effect at all, and none one that counts."""
    rng, sizes = np.random.default_rng(0), []
    for trial in range(40):
        x = autoregression(rng, ROWS, 0.9 * (trial % 2))
        y = season() + autoregression(rng, ROWS, 0.9)
        scaler = fit_scaler(hourly(y[:, None], x[:, None, None]))
        assert scaler.effects is not None
        sizes.append(scaler.effects.of(x[:, None, None]).std())
    assert sum(size == 0 for size in sizes) > 20
    assert max(sizes) < 0.1  # deviations of the channel: a hundredth of its variance
    signal = fit_scaler(hourly((y + x)[:, None], x[:, None, None])).effects  # the positive control
    assert signal is not None
    assert signal.of(x[:, None, None]).std() > 0.4


def test_what_repeats_with_the_season_or_never_changes_has_no_effect() -> None:
    """A sine has differences of rounding alone, in which noise must not be found; nor where rows are too few."""
    rng, hour = np.random.default_rng(1), np.arange(ROWS)
    still = np.stack([np.sin(2 * np.pi * hour / 24), np.full(ROWS, 0.1), hour / 7, hour // 24 % 7 == 0], 1)
    y = season() + rng.normal(size=ROWS)
    effects = fit_scaler(hourly(y[:, None], still[:, None])).effects
    assert effects is not None
    assert not effects.coefficient_CK.any()
    few = fit_scaler(hourly(y[:5, None], rng.normal(size=(5, 1, 3)))).effects
    assert few is not None
    assert not few.coefficient_CK.any()


@pytest.mark.parametrize("step", [Step(calendar="MS"), Step(calendar="B"), Step(86400), Step(7 * 86400)])
def test_every_step_has_its_differences(step: Step) -> None:
    rng, rows = np.random.default_rng(2), 150
    x = (rng.random(rows) < 0.3).astype(float)
    y = np.sin(np.arange(rows)) + 3 * x + 0.1 * rng.normal(size=rows).cumsum() + 0.1 * rng.normal(size=rows)
    scaler = fit_scaler(hourly(y[:, None], x[:, None, None], step))
    assert scaler.effects is not None
    assert scaler.effects.coefficient_CK[0, 0] * scaler.deviation_C[0] == pytest.approx(3, abs=0.5)


def test_units_do_not_matter_and_no_later_row_counts() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(ROWS, 1, 2)), season()[:, None] + rng.normal(size=(ROWS, 1))
    y = y + (3 * x[..., 0])
    whole = hourly(y, x)
    scaler = fit_scaler(whole)
    other = fit_scaler(hourly(1e6 * y + 7, 1e-5 * x - 4))
    assert scaler.effects is not None
    assert other.effects is not None
    np.testing.assert_allclose(other.effects.of(1e-5 * x - 4), scaler.effects.of(x), atol=1e-9)
    splits = {"train": (0, 1000), "validation": (1000, 1500), "test": (1500, ROWS)}
    moved = x.copy()
    moved[1000:] += 100 * rng.normal(size=moved[1000:].shape)
    one, two = (fit_scaler(Series(whole.date_T, y, whole.channels, whole.step, splits, None, whole.known, of))
                for of in (x, moved))  # fmt: skip
    assert one.described() == two.described()
    assert one.described() != scaler.described()


def test_what_is_taken_out_is_added_again() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(ROWS, 2, 2)), season()[:, None] + rng.normal(size=(ROWS, 2))
    series = hourly(y + 3 * x.sum(2), x)
    scaler = fit_scaler(series)
    scaled_TC = scaler.scale(series.value_TC, x)
    np.testing.assert_allclose(scaler.unscale(scaled_TC + scaler.effect(x)), series.value_TC, rtol=1e-12)
    restored = Scaler.restored(scaler.described())
    np.testing.assert_array_equal(restored.scale(series.value_TC, x), scaled_TC)
    plain = fit_scaler(hourly(series.value_TC, None))
    np.testing.assert_array_equal((plain.mean_C, plain.deviation_C), (scaler.mean_C, scaler.deviation_C))  # comparable
    assert "known" not in plain.described()
