"""Where in a cycle of the calendar a row lies: its season, and the group of seasons of one kind. T: rows."""

from typing import NamedTuple

from pipeline.mole.data.season import phase_of, season_of
from pipeline.mole.data.step import DAY, Seconds, Step

_MONDAY = 4 * DAY  # day 0, 1970-01-01, was a Thursday


class Calendar(NamedTuple):
    """The season of a series, and how many kinds of it there are: seven days of the week, where the season is a day."""

    step: Step
    season: int  # rows
    groups: int

    def place(self, date_T: Seconds) -> Seconds:
        """(T,): from 0 to season x groups - 1, one more from row to row; group x season + place in the season."""
        if self.groups == 1 or self.step.seconds is None:
            return phase_of(self.step, date_T)
        return (date_T - _MONDAY) // self.step.seconds % (self.season * self.groups)


def calendar_of(step: Step) -> Calendar:
    """Of series of this step."""
    season, _ = season_of(step)
    return Calendar(step, season, 7 if step.seconds is not None and season * step.seconds == DAY else 1)
