"""Reading what the benchmark of inference wrote: agreement and estimates, and times, which depend on the machine.

Where a number could not be had stands a text, "not measured: <reason>", in its place or in that of a whole object.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.core.paths import StudyPaths
from pipeline.report.reading import malformed, read_json, stage

NOT_MEASURED = "not measured: "

_AGREEMENT = ("horizon", "lookback", "channels", "windows", "points", "roofline")
_ROOFLINE = ("label", "cards", "points", "goals")
_TIMES = ("machine", "horizon", "lookback", "channels", "rows", "cost_of_experts", "goals")
_ROW = ("point", "experts", "trained", "backend", "dtype", "batch", "p50_ms", "p95_ms", "sequences_per_second")


@dataclass(frozen=True)
class Inference:
    """Both files, as they are (see the stage `ttnn_benchmark` for what they hold)."""

    agreement: Mapping[str, Any]  # horizon, lookback, channels, windows, points, roofline
    times: Mapping[str, Any]  # machine, horizon, lookback, channels, note, rows, cost_of_experts, goals

    @property
    def points(self) -> list[str]:
        return list(self.agreement["points"])

    def rows(self, point: str, backend: str, trained: bool = True) -> list[Mapping[str, Any]]:
        """The times of a point in a program, by batch size."""
        found = [row for row in self.times["rows"] if (row["point"], row["backend"]) == (point, backend)]
        return sorted((row for row in found if row["trained"] == trained), key=lambda row: int(row["batch"]))

    @property
    def backends(self) -> list[str]:
        return list(dict.fromkeys(row["backend"] for row in self.times["rows"]))


def read_inference(at: StudyPaths) -> Inference:
    """Both files of a study."""
    maker = stage(f"ttnn_benchmark@{at.study}")
    agreement_path, times_path = (at.reports / name for name in ("ttnn.json", "latency.json"))
    agreement = read_json(agreement_path, maker, _AGREEMENT)
    if absent := [key for key in _ROOFLINE if key not in agreement["roofline"]]:
        raise malformed(agreement_path, maker, f"its roofline lacks {', '.join(absent)}")
    for point, of in agreement["points"].items():
        if absent := [key for key in ("experts", "mse", "golden", "device") if key not in of]:
            raise malformed(agreement_path, maker, f"{point} lacks {', '.join(absent)}")
    times = read_json(times_path, maker, _TIMES)
    for row in times["rows"]:
        if absent := [key for key in _ROW if key not in row]:
            raise malformed(times_path, maker, f"a row lacks {', '.join(absent)}")
        if isinstance(row["p50_ms"], (int, float)) and not row["p50_ms"] > 0:
            raise malformed(times_path, maker, f"a time of {row['p50_ms']} ms")
    return Inference(agreement, times)


def is_number(value: Any) -> bool:
    """Whether there was something to measure."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
