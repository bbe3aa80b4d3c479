"""What a time stamp says of the calendar, as numbers from -0.5 to 0.5. T: rows, F: the 4 features of `FEATURES`."""

import numpy as np
import numpy.typing as npt

FEATURES = ("hour", "weekday", "day of the month", "day of the year")


def time_features(date_T: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """[hour / 23, weekday / 6 (Monday 0), (day of the month - 1) / 30, (day of the year - 1) / 365] - 0.5, (T, 4).

    date_T: seconds since 1970-01-01 00:00. As in Zhou et al. 2021 (Informer), of hourly rows; a MoLE's router sees
    these (Ni et al. 2024), whatever the step of its series.
    """
    hour_T = date_T // 3600 % 24
    day_T = date_T // 86_400  # since 1970-01-01, a Thursday
    date = day_T.astype("datetime64[D]")
    day_of_month_T = (date - date.astype("datetime64[M]")).astype(np.int64)
    day_of_year_T = (date - date.astype("datetime64[Y]")).astype(np.int64)
    features_TF = np.stack([hour_T / 23, (day_T + 3) % 7 / 6, day_of_month_T / 30, day_of_year_T / 365], axis=1) - 0.5
    return features_TF.astype(np.float32)
