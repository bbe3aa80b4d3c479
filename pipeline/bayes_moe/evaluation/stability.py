"""Is the routing stable: under corruption of the images, and between trainings with other seeds?"""

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pandas as pd

from pipeline.bayes_moe.data.corruptions import CORRUPTIONS, SEVERITIES
from pipeline.bayes_moe.evaluation.point_predictions import PointPredictions
from pipeline.bayes_moe.metrics.partitions import adjusted_rand


def stability_table(points: Iterable[PointPredictions]) -> pd.DataFrame:
    """A row per sparse point, seed, corruption and severity: the share of tokens whose first expert stays the same."""
    rows = [
        (point.name, seed, list(CORRUPTIONS)[t], SEVERITIES[level], float(same))
        for point in points
        if "same_expert" in point.arrays
        for seed, same_TL in zip(point.seeds, point.arrays["same_expert"], strict=True)
        for (t, level), same in np.ndenumerate(same_TL)
    ]
    return pd.DataFrame(rows, columns=["point", "seed", "corruption", "severity", "same"])


def agreement_table(points: Iterable[PointPredictions]) -> pd.DataFrame:
    """A row per sparse point and two of its seeds: the adjusted Rand index of the first experts of the test images."""
    rows = [
        (point.name, first, second, adjusted_rand(*(point.arrays["first_expert"][place] for place in places)))
        for point in points
        if "first_expert" in point.arrays
        for places in combinations(range(len(point.seeds)), 2)
        for first, second in [[point.seeds[place] for place in places]]
    ]
    return pd.DataFrame(rows, columns=["point", "first", "second", "agreement"])
