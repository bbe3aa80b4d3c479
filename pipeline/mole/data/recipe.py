"""What a simulated series is made by: a small YAML file, validated."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.params.reading import read_yaml, validated
from pipeline.params.section import MOST, Count, Name, NotNegative, Number, Positive, Section, Seed, Share, Text

MOST_VALUES = 10**9  # rows times channels: 8 GB
DATE_FORMAT = "%Y-%m-%d %H:%M"

Persistence = Annotated[float, Field(ge=0, lt=1)]


class Dynamics(Section):
    """How a channel behaves in one of its regimes."""

    daily: Number  # amplitude of its day (units of the channel)
    shift: Number = 0.0  # how much later its day is (hours)
    level: Number = 0.0  # added to its level (units of the channel)
    persistence: Persistence  # of what is by chance, from one row to the next


class Coupling(Section):
    """What is by chance in another channel comes through in this one."""

    channel: Text
    strength: Number
    lag: Count  # rows


class Channel(Section):
    """One channel."""

    level: Number
    weekly: Number  # amplitude (units of the channel)
    yearly: Number  # amplitude (units of the channel)
    noise: NotNegative  # standard deviation of what is by chance (units of the channel)
    usual: Dynamics
    other: Dynamics | None = None
    regime: Literal["weekend", "night", "unannounced"] | None = None  # when the other dynamics hold
    coupling: Coupling | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.other is None) != (self.regime is None):
            raise ValueError("regime and other must be given together: which dynamics hold when")
        return self


class SeriesRecipe(Section):
    """data/embedded/series.yaml, where each key is explained."""

    start: Text
    step_minutes: Count
    rows: Annotated[int, Field(ge=10, le=MOST)]
    channels: Annotated[dict[Name, Channel], Field(min_length=1, max_length=1_000)]
    night: Annotated[list[Annotated[int, Field(ge=0, le=23)]], Field(min_length=2, max_length=2)]
    regime_rows: Positive
    trend: NotNegative
    trend_rows: Positive
    swing: Share
    seed: Seed

    @field_validator("start")
    @classmethod
    def _is_a_date(cls, start: str) -> str:
        try:
            datetime.strptime(start, DATE_FORMAT)
        except ValueError as error:
            raise ValueError("must be a date and a time, such as 2021-03-01 00:00") from error
        return start

    @model_validator(mode="after")
    def _fits_in_memory(self) -> Self:
        if self.rows * len(self.channels) > MOST_VALUES:
            raise ValueError(f"rows ({self.rows:,}) times channels ({len(self.channels):,}) exceeds {MOST_VALUES:,}")
        return self

    @model_validator(mode="after")
    def _couplings_are_to_others(self) -> Self:
        names = list(self.channels)
        for place, (name, channel) in enumerate(self.channels.items()):
            if channel.coupling is not None and channel.coupling.channel not in names[:place]:
                raise ValueError(f"{name} is coupled to {channel.coupling.channel!r}, which is no channel before it")
        return self


def read_recipe(path: Path) -> SeriesRecipe:
    """The validated recipe; ExpectedError where the file is missing, malformed or out of range."""
    return validated(SeriesRecipe, read_yaml(path), str(path))
