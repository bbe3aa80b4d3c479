"""Times as rows of a table, and what they say of experts and goals."""

from typing import Any

from pipeline.mole.ttnn.goals import GOALS, meets
from pipeline.mole.ttnn.stopwatch import Times

NOT_MEASURED = "not measured: "

Row = dict[str, Any]
Rows = list[Row]


def row_of(
    point: str, experts: int, trained: bool, backend: str, data_type: str, batch: int, times: Times | str
) -> Row:
    """One row. What was not measured says why, in the place of each number."""
    row: Row = {"point": point, "experts": experts, "trained": trained}
    row |= {"backend": backend, "dtype": data_type, "batch": batch}
    if isinstance(times, str):
        said = NOT_MEASURED + times.removeprefix(NOT_MEASURED)
        return row | dict.fromkeys(("p50_ms", "p95_ms", "sequences_per_second"), said)
    return row | {"p50_ms": times.p50, "p95_ms": times.p95, "sequences_per_second": batch / times.p50 * 1e3}


def cost_of_experts(rows: Rows, batch: int) -> dict[str, Any]:
    """Median time over that of one expert, by point and by backend that timed several numbers of experts at `batch`."""
    costs: dict[str, Any] = {}
    for (point, backend), of_backend in _grouped([row for row in rows if row["batch"] == batch]).items():
        time_of = {row["experts"]: row["p50_ms"] for row in of_backend}
        one = time_of.get(1)
        if one is not None and len(time_of) > 1:
            told = one if isinstance(one, str) else {str(n): time_of[n] / one for n in sorted(time_of)}
            costs.setdefault(point, {})[backend] = {"batch": batch, "experts": told}
    return costs


def goals_met(rows: Rows) -> dict[str, Any]:
    """Whether some batch size reaches both the rate and the latency (its p95), as trained; by point and backend."""
    goals: dict[str, Any] = {}
    for (point, backend), of_backend in _grouped([row for row in rows if row["trained"]]).items():
        found = [
            (row["sequences_per_second"], row["p95_ms"]) for row in of_backend if not isinstance(row["p95_ms"], str)
        ]
        goals.setdefault(point, {})[backend] = {
            goal: meets(found, *needed) if found else of_backend[0]["p95_ms"] for goal, needed in GOALS.items()
        }
    return goals


def _grouped(rows: Rows) -> dict[tuple[str, str], Rows]:
    """By point, and by backend; the device's by data type too, for it has several."""
    groups: dict[tuple[str, str], Rows] = {}
    for row in rows:
        backend = row["backend"] if row["dtype"] == "float32" else f"{row['backend']}_{row['dtype']}"
        groups.setdefault((row["point"], backend), []).append(row)
    return groups
