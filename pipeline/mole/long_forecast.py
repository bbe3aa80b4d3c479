"""Forecasts in long format, as Nixtla's tools write them: a row for each series and time stamp.

T: rows, C: channels, P: columns of each channel.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def lengthened(forecast: "pd.DataFrame", channels: Sequence[str], identifier: str, name: str) -> "pd.DataFrame":
    """C · T rows, channel by channel, of a forecast of T rows: `identifier` (the channel), the time stamps, the
    forecast in column `name`, and what else there is of each channel in columns that begin so, as `ridge-lo-90`.

    forecast: the time stamps, then C columns of each kind, each called as its channel and what its kind adds.
    """
    import pandas as pd

    date, *columns = forecast.columns
    rows, count = len(forecast), len(channels)
    value_TPC = forecast[columns].to_numpy().reshape(rows, -1, count)
    kinds = [str(column)[len(channels[0]) :] for column in columns[::count]]
    dates = forecast[date].iloc[np.tile(np.arange(rows), count)].reset_index(drop=True)
    found = pd.DataFrame({identifier: np.repeat(np.array(channels, object), rows), date: dates})
    of_kind = {f"{name}{kind}": value_TPC[:, place].T.ravel() for place, kind in enumerate(kinds)}
    found = found.assign(**of_kind)
    found.attrs = dict(forecast.attrs)
    return found
