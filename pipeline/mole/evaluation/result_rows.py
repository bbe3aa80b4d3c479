"""Scores of forecasts as rows of results: every method, horizon and seed, and how mixtures differ from what they have
to beat."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.metrics.differences import difference_rows
from pipeline.metrics.results import ALL, Row

PAIRED = ("mse", "mae")


def with_differences(rows: Sequence[Row], twins: Mapping[str, str]) -> list[Row]:
    """The rows, then every mixture minus every baseline and minus its dense twin, at each horizon.

    twins: of each mixture, the same backbone alone. A mixture meets its twin seed by seed, and a baseline, which has no
    seed, with each of its own. The 95 % interval is that of the mean over seeds, by Student's t: how far other
    trainings would move the difference, on the same test windows. With one seed there is none.
    """
    found = list(rows)
    for mixture, twin in twins.items():
        ours = [row for row in rows if row.method == mixture and row.metric in PAIRED]
        rivals = [row for row in rows if row.role == "baseline" and row.metric in PAIRED]
        rivals += [replace(row, role="baseline") for row in rows if row.method == twin and row.metric in PAIRED]
        found += [row for row in difference_rows([*ours, *rivals]) if row.unit != ALL]
    return found
