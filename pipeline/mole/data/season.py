"""The season that series of a step usually have, and where in it a row lies. T: rows."""

import numpy as np

from pipeline.mole.data.step import DAY, Seconds, Step

MOST_ROWS = 288  # of a season: a day of 5-minute rows


def season_of(step: Step) -> tuple[int, str]:
    """Rows of the season that series of this step usually have, and what it is called."""
    if step.seconds is None:
        months = step.months
        return (5, "a week") if months is None else (max(1, 12 // months), "a year")
    for length, called in ((DAY, "a day"), (7 * DAY, "a week"), (364 * DAY, "a year")):
        if step.seconds < length:
            rows = length // step.seconds
            return (rows, called) if rows <= MOST_ROWS else (60, "60 steps")
    return 1, "one step"


def calendar_parts(step: Step) -> tuple[str, ...]:
    """What of the calendar changes from row to row at this step: of hour, weekday and month."""
    if step.months is not None:
        return ("month",)
    if step.seconds is None or step.seconds >= DAY:
        return ("weekday", "month") if step.seconds is None or step.seconds % (7 * DAY) else ("month",)
    return "hour", "weekday"


def phase_of(step: Step, date_T: Seconds) -> Seconds:
    """(T,): the place of each row in the season of this step, from 0 on; by the clock of the file, as in two files of
    one series."""
    season, _ = season_of(step)
    if step.seconds is not None:
        return date_T // step.seconds % season
    if step.months is None:  # business days
        return (date_T // DAY + 3) % 7  # day 0, 1970-01-01, was a Thursday
    months: Seconds = date_T.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    return months // step.months % season
