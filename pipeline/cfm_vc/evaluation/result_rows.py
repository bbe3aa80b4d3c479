"""Result rows of the held-out groups: scores, means over groups, and differences to the baselines.

R: bootstrap resamples of the cells, the first row being the original cells (see `pipeline.cfm_vc.metrics.bootstrap`).
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pipeline.cfm_vc.decisive import unit_of
from pipeline.cfm_vc.evaluation.judge import Findings, role_of
from pipeline.cfm_vc.evaluation.tables import group_names
from pipeline.cfm_vc.glossary import GLOSSARY
from pipeline.cfm_vc.metrics.bootstrap import percentile_interval
from pipeline.data.store import Store
from pipeline.metrics.results import ALL, Row, difference_name

Array = npt.NDArray[np.float64]


def result_rows(store: Store, findings: Findings) -> list[Row]:
    """A row per group, method and metric, then the means over groups, then every model minus every baseline
    (`Metric.difference`).

    Intervals are from the bootstrap. Differences are paired: both methods are scored on the same resample. Groups are
    resampled independently, and a resample of the mean averages one resample of each group. So an interval covers the
    sampling of cells within these groups, not the choice of groups or the training run. Groups with an undefined score
    are left out of its mean; groups where either side of a difference is undefined are left out of that.
    """
    found: dict[tuple[str, str], dict[str, Array]] = {}  # by method and metric, then by unit
    for group, method, scores in findings.scores:
        for metric, values_R in scores.items():
            found.setdefault((method, metric), {})[unit_of(*group_names(store, group))] = values_R
    found = {key: {**by_unit, ALL: _mean(by_unit)} for key, by_unit in found.items()}
    units = next(iter(found.values()), {})
    rows = [
        _row(unit, method, role_of(method), metric, by_unit[unit], GLOSSARY.metric(metric).bounds)
        for unit in units
        for (method, metric), by_unit in found.items()
    ]
    for (model, metric), ours in found.items():
        for baseline, theirs in _baselines(found, metric).items() if role_of(model) == "model" else ():
            name = difference_name(model, baseline)
            minus = GLOSSARY.metric(metric).difference
            differences = {unit: minus(ours[unit], theirs[unit]) for unit in units if unit != ALL}
            differences[ALL] = _mean(differences)
            rows += [_row(unit, name, "difference", metric, values_R) for unit, values_R in differences.items()]
    return rows


def _baselines(found: Mapping[tuple[str, str], dict[str, Array]], metric: str) -> dict[str, dict[str, Array]]:
    return {method: of for (method, name), of in found.items() if name == metric and role_of(method) == "baseline"}


def _mean(by_unit: Mapping[str, Array]) -> Array:
    """Mean over groups, resample by resample, (R,); NaN where no group has the score."""
    defined = [values_R for values_R in by_unit.values() if not np.isnan(values_R[0])]
    if not defined:
        return np.full(1, np.nan)
    # Contiguous over the groups, so that the sum has the same rounding as that of a list.
    values_RU = np.ascontiguousarray(np.stack(np.broadcast_arrays(*defined), axis=1))
    return np.asarray(values_RU.mean(axis=1))


def _row(
    unit: str, method: str, role: str, metric: str, values_R: Array, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> Row:
    value = None if np.isnan(values_R[0]) else float(values_R[0])
    low, high = percentile_interval(values_R, bounds) or (None, None)
    return Row(unit, method, role, metric, value, low, high)
