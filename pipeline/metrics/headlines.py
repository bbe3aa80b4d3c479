"""Headlines: the few numbers of a system that `dvc metrics show` and `dvc metrics diff` print.

DVC prints a row per file and a column per number, so each decisive score is a file with the same columns: a table that
fits on a screen for any number of systems. Everything else is in results.csv.
"""

from collections.abc import Mapping
from pathlib import Path

from pipeline.core.files import atomic_folder, write_json
from pipeline.metrics.verdict import Comparison

MOST = 3  # per system: at most 60 numbers for four systems


def headline(found: Comparison) -> dict[str, float | None]:
    """The model's score, that of the best baseline, and the gain with its 95 % interval, in the metric's unit.

    A positive gain is an improvement, whatever the direction of the metric. None (null) is undefined.
    """
    value, low, high = found.difference.value, found.difference.low, found.difference.high
    if not found.metric.higher_is_better:
        value, low, high = (None if bound is None else 0.0 - bound for bound in (value, high, low))
    return {"score": found.model, "baseline": found.baseline_score, "gain": value, "gain_low": low, "gain_high": high}


def write_headlines(folder: Path, found: Mapping[str, Comparison]) -> None:
    """Write a file per headline, <name>.json, replacing the content of the folder. ValueError for more than `MOST`."""
    if len(found) > MOST:
        raise ValueError(f"{len(found)} headlines; a system has at most {MOST}")
    with atomic_folder(folder) as partial:
        for name, comparison in found.items():
            write_json(partial / f"{name}.json", headline(comparison))
