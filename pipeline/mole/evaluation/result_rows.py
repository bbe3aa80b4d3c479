"""Scores of forecasts as rows of results: every method, horizon and seed, and how mixtures differ from what they have
to beat."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.metrics.differences import difference_rows
from pipeline.metrics.results import ALL, Row

PAIRED = ("mse", "mae")
ROUNDING = 1e-6  # of errors of one forecast that is computed in two ways, in 32-bit numbers


def with_differences(rows: Sequence[Row], twins: Mapping[str, str]) -> list[Row]:
    """The rows, then every mixture minus every baseline and minus its dense twin, at each horizon.

    twins: of each mixture, the same backbone alone. A mixture meets its twin seed by seed, and a baseline, which has no
    seed, with each of its own. The 95 % interval is that of the mean over seeds, by Student's t: how far other
    trainings would move the difference, on the same test windows. With one seed there is none. A difference that is
    rounding alone, as that of networks that stayed at their start, the ridge, is 0.
    """
    found = list(rows)
    for mixture, twin in twins.items():
        ours = [row for row in rows if row.method == mixture and row.metric in PAIRED]
        rivals = [row for row in rows if row.role == "baseline" and row.metric in PAIRED]
        rivals += [replace(row, role="baseline") for row in rows if row.method == twin and row.metric in PAIRED]
        found += [_without_rounding(row) for row in difference_rows([*ours, *rivals]) if row.unit != ALL]
    return found


def _without_rounding(row: Row) -> Row:
    parts = (row.value, row.low, row.high)
    if any(part is not None and abs(part) > ROUNDING for part in parts):
        return row
    value, low, high = (None if part is None else 0.0 for part in parts)
    return replace(row, value=value, low=low, high=high)
