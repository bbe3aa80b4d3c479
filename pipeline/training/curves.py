"""Learning curves: one row per epoch, written as CSV without times, so that equal runs give equal bytes."""

import csv
import io
from pathlib import Path

from pipeline.core.files import write_text

Curve = list[dict[str, float]]


def write_curve(path: Path, curve: Curve) -> None:
    """Write the rows atomically; all have the columns of the first. Numbers keep seven significant digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(curve[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.7g}" for name, value in row.items()} for row in curve)
    write_text(path, text.getvalue())
