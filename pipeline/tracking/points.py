"""Numbers in a stage's outputs as named points."""

import csv
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.nested import leaves

OF_A_CURVE = {"horizon": "h", "seed": "seed_"}  # columns that distinguish the curves in one file, and their prefixes


@dataclass(frozen=True)
class Point:
    name: str
    value: float
    step: int  # epoch; 0 for a final number
    headline: bool = False  # of a file that dvc.yaml declares as a metric


def metric_points(
    folder: Path, files: Iterable[str], stage_files: Collection[str], metrics: Collection[str]
) -> Iterator[Point]:
    """The numbers in `files` (paths below `folder`), by type of file.

    A file at or below one of `metrics` (JSON) holds headlines, named `<file>.<key>`. Other JSON files count if they
    hold only numbers, which keep their dotted keys. A CSV file with a column `epoch` is a curve, named
    `curve/<column>`; with several seeds `curve/seed_<n>/<column>`, with several horizons (forecast rows)
    `curve/h<horizon>/seed_<n>/<column>`. The file name is a prefix only if the stage made several files of that type
    (`stage_files`: all its outputs): runs of a sweep thus share names, and MLflow draws them in one chart. Empty cells
    are left out.
    """
    headlines = [path for path in stage_files if any(Path(path).is_relative_to(metric) for metric in metrics)]
    others = [path for path in stage_files if path not in headlines]
    for path in sorted(files):
        kind = Path(path).suffix
        several = sum(Path(other).suffix == kind for other in others) > 1
        if path in headlines:
            yield from (Point(name, value, 0, True) for name, value in _numbers(folder, path, Path(path).stem + "."))
        elif kind == ".json":
            yield from _final_numbers(folder, path, f"{Path(path).stem}." if several else "")
        elif kind == ".csv":
            yield from _curve(folder, path, f"curve/{Path(path).stem}/" if several else "curve/")


def _numbers(folder: Path, path: str, prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in leaves(_read(folder, path), prefix):
        if _is_number(value):
            yield name, float(value)


def _final_numbers(folder: Path, path: str, prefix: str) -> Iterator[Point]:
    content = _read(folder, path)
    found = list(leaves(content, prefix)) if isinstance(content, dict) else []
    if all(_is_number(value) for _, value in found):
        yield from (Point(name, float(value), 0) for name, value in found)


def _read(folder: Path, path: str) -> Any:
    return json.loads((folder / path).read_text(encoding="utf-8"))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _curve(folder: Path, path: str, prefix: str) -> Iterator[Point]:
    with (folder / path).open(encoding="utf-8", newline="") as stream:
        table = csv.DictReader(stream)
        if "epoch" not in (table.fieldnames or []):
            return
        for row in table:
            epoch = int(row.pop("epoch"))
            parts = [start + row.pop(column) for column, start in OF_A_CURVE.items() if column in row]
            start = prefix + "".join(f"{part}/" for part in parts)
            yield from (Point(start + name, float(value), epoch) for name, value in row.items() if value)
