"""The numbers in metric files and curves, as named points."""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.tracking.lock import flatten

_METRICS = ("reports/*/metrics.json", "reports/*/training/*.json")
_CURVES = ("reports/*/curves/*.csv",)
OF_A_CURVE = {"horizon": "h", "seed": "seed_"}  # columns that tell the curves of one file apart, and how they are named


@dataclass(frozen=True)
class Point:
    name: str
    value: float
    step: int  # epoch; 0 for a final number


def metric_points(folder: Path, files: Iterable[str], stage_files: Iterable[str]) -> Iterator[Point]:
    """The numbers in those of `files` (paths below `folder`) that are metrics or curves.

    A final number has the name that `dvc metrics show` gives it; the column of a curve is `curve/<column>`. Where one
    file holds the curves of several seeds, it is `curve/seed_<n>/<column>`, and of several horizons (rows forecast)
    `curve/h<horizon>/seed_<n>/<column>`. Only where the stage has several metric
    files or curves (`stage_files`: all that it made) is the file's name put in front: the runs of a sweep share names,
    so that MLflow draws them in one chart. Empty cells and values that are no numbers are left out.
    """
    made = list(stage_files)
    several_metrics = len(_within(made, _METRICS)) > 1
    several_curves = len(_within(made, _CURVES)) > 1
    for path in _within(files, _METRICS):
        content = json.loads((folder / path).read_text(encoding="utf-8"))
        for name, value in flatten(content, f"{Path(path).stem}." if several_metrics else ""):
            if isinstance(value, int | float):
                yield Point(name, float(value), 0)
    for path in _within(files, _CURVES):
        prefix = f"curve/{Path(path).stem}/" if several_curves else "curve/"
        with (folder / path).open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                epoch = int(row.pop("epoch"))
                parts = [start + row.pop(column) for column, start in OF_A_CURVE.items() if column in row]
                start = prefix + "".join(f"{part}/" for part in parts)
                yield from (Point(start + name, float(value), epoch) for name, value in row.items() if value)


def _within(files: Iterable[str], patterns: Iterable[str]) -> list[str]:
    return [path for path in sorted(files) if any(Path(path).match(pattern) for pattern in patterns)]
