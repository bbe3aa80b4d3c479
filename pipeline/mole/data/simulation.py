"""The embedded series: channels with days, weeks and a slow drift, whose dynamics change at known rows.

In row t, channel c has

    level(c) + trend(t, c) + weekly(c) sin(2 pi week(t)) + yearly(c) sin(2 pi year(t))
        + level(c, r) + daily(c, r) day(hour(t) - shift(c, r)) + chance(t, c) + strength(c) chance(t - lag(c), other(c))

in its regime r of that row, the usual or the other one: by weekday, by the hour, or changing unannounced after
exponentially distributed times. chance is autoregressive, with a persistence that belongs to the regime and the same
variance in both. trend is piecewise linear, with bends at rows drawn. So where a regime follows the calendar, the best
linear map from past to future differs with the time stamp; where it does not, none can know it beforehand.
T: rows, C: channels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.mole.data.recipe import Channel, Dynamics, SeriesRecipe

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

DAY, WEEK = 86_400, 7 * 86_400
YEAR = 31_556_952  # of the calendar, on the average (seconds)
MONDAY = 4 * DAY  # seconds from the Thursday of 1970-01-01


@dataclass(frozen=True)
class SimulatedSeries:
    """Rows at equal steps, and what they were made of."""

    date_T: npt.NDArray[np.int64]  # seconds since 1970-01-01 00:00
    value_TC: Floats
    channels: list[str]
    other_TC: Mask  # where the other dynamics hold
    bends: dict[str, list[int]]  # rows at which the trend of each channel changes its slope
    recipe: SeriesRecipe

    def truth(self) -> dict[str, object]:
        """What source.json tells: the periods, and by channel the rows where regime and trend change."""
        regimes = {}
        for c, name in enumerate(self.channels):
            changes = np.flatnonzero(np.diff(self.other_TC[:, c])) + 1
            regime = self.recipe.channels[name].regime
            if regime == "unannounced":
                regimes[name] = {
                    "regime": regime,
                    "other_at_first": bool(self.other_TC[0, c]),
                    "changes": changes.tolist(),
                }
            elif regime is not None:
                regimes[name] = {"regime": regime, "other_share": float(self.other_TC[:, c].mean())}
        return {
            "periods_seconds": {"day": DAY, "week": WEEK, "year": YEAR},
            "night": self.recipe.night,
            "regimes": regimes,
            "trend_changes": self.bends,
        }


def simulate(recipe: SeriesRecipe) -> SimulatedSeries:
    """A series by this recipe; the same recipe gives the same values, and a channel's do not hang on those after it."""
    start = np.datetime64(recipe.start, "s").astype(np.int64)
    date_T = start + 60 * recipe.step_minutes * np.arange(recipe.rows)
    chance: dict[str, Floats] = {}
    columns, others, bends = [], [], {}
    for place, (name, channel) in enumerate(recipe.channels.items()):
        rng = np.random.default_rng([recipe.seed, place])
        other_T = _other(channel, date_T, recipe, rng)
        trend_T, bends[name] = _trend(channel, recipe, rng)
        chance[name] = _chance(channel, other_T, rng)
        value_T = channel.level + trend_T + chance[name]
        value_T += channel.weekly * np.sin(2 * np.pi * (date_T - MONDAY) / WEEK)
        value_T += channel.yearly * np.sin(2 * np.pi * date_T / YEAR)
        value_T += np.where(
            other_T,
            _day(channel.other or channel.usual, date_T, recipe.swing),
            _day(channel.usual, date_T, recipe.swing),
        )
        if channel.coupling is not None:
            lag = channel.coupling.lag
            value_T[lag:] += channel.coupling.strength * chance[channel.coupling.channel][:-lag]
        columns.append(value_T)
        others.append(other_T)
    return SimulatedSeries(date_T, np.stack(columns, 1), list(recipe.channels), np.stack(others, 1), bends, recipe)


def _other(channel: Channel, date_T: npt.NDArray[np.int64], recipe: SeriesRecipe, rng: np.random.Generator) -> Mask:
    """Where the other dynamics hold, (T,)."""
    changed_T = rng.random(len(date_T)) < 1 / recipe.regime_rows  # drawn for all, so that the kinds share their chance
    if channel.regime == "weekend":
        weekend_T: Mask = (date_T - MONDAY) % WEEK >= 5 * DAY
        return weekend_T
    if channel.regime == "night":
        dusk, dawn = recipe.night
        hour_T = date_T // 3600 % 24
        night_T: Mask = (hour_T - dusk) % 24 < (dawn - dusk) % 24
        return night_T
    if channel.regime == "unannounced":
        other_T: Mask = np.cumsum(changed_T) % 2 == 1
        return other_T
    return np.zeros(len(date_T), bool)


def _day(dynamics: Dynamics, date_T: npt.NDArray[np.int64], swing: float) -> Floats:
    """The course of the day in these dynamics, (T,): lowest in the small hours, with a second harmonic."""
    angle_T = 2 * np.pi * (date_T % DAY / 3600 - dynamics.shift - 3) / 24
    day_T: Floats = dynamics.level - dynamics.daily * (np.cos(angle_T) + swing * np.cos(2 * angle_T))
    return day_T


def _trend(channel: Channel, recipe: SeriesRecipe, rng: np.random.Generator) -> tuple[Floats, list[int]]:
    """Straight pieces, (T,), and the rows at which they meet."""
    bend_T = np.flatnonzero(rng.random(recipe.rows - 2) < 1 / recipe.trend_rows) + 1
    rows = np.concatenate([[0], bend_T, [recipe.rows - 1]])
    change = rng.normal(0.0, recipe.trend * channel.noise, len(rows) - 1)
    heights = np.concatenate([[0.0], np.cumsum(change)])
    return np.interp(np.arange(recipe.rows), rows, heights), bend_T.tolist()


def _chance(channel: Channel, other_T: Mask, rng: np.random.Generator) -> Floats:
    """An autoregression, (T,), with the persistence of the regime and, in every row, the standard deviation `noise`."""
    persistence_T = np.where(other_T, (channel.other or channel.usual).persistence, channel.usual.persistence)
    fresh_T = rng.normal(size=len(other_T)) * np.sqrt(1 - persistence_T**2)
    state, states = float(rng.normal()), np.empty(len(other_T))
    for row, (persistence, fresh) in enumerate(zip(persistence_T.tolist(), fresh_T.tolist(), strict=True)):
        state = persistence * state + fresh
        states[row] = state
    scaled_T: Floats = channel.noise * states
    return scaled_T
