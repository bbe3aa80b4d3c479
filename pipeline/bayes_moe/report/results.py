"""Reading what the sweep of picture classifiers and its evaluation wrote, checked point by point."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import pandas as pd

from pipeline.bayes_moe.paths import PATHS
from pipeline.report.frames import read_csv, read_parquet
from pipeline.report.reading import malformed, read_json, stage
from pipeline.report.spreads import Spread, spread

RAW, SCALED = "raw", "scaled"  # as trained, and with logits divided by the temperature

_CURVE = ("seed", "epoch", "validation_nll", "validation_accuracy", "validation_ece")
_SOURCES = {
    "Images": (PATHS.raw / "source.json", "ingest@bayes_moe"),
    "Out-of-distribution images": (PATHS.reports / "ood.json", "ingest_ood"),
}
_COLUMNS = {
    "points": [
        "point",
        "twin",
        "place",
        "experts",
        "top_k",
        "gate",
        "balance",
        "balance_weight",
        "parameters",
        "activated_parameters",
        "flops",
        "activated_flops",
    ],
    "differences": ["point", "twin", "kind", "metric", "value", "low", "high", "p"],
    "reliability": ["point", "kind", "bin", "count", "confidence", "accuracy"],
    "corruption": ["point", "seed", "corruption", "severity", "accuracy", "nll", "ece"],
    "experts": ["point", "seed", "expert", "label", "tokens"],
    "sampled": ["point", "seed", "samples", "accuracy", "nll", "ece", "flops"],
}


@dataclass(frozen=True)
class Difference:
    """Sparse minus dense, the mean over seeds, with its 95 % interval, and p of no difference."""

    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Moe:
    """The sweep. Frames have the columns of `_COLUMNS`; `curves` those of `_CURVE` and, of sparse points, more."""

    chosen: str  # the sparse point with the best validation NLL
    points: pd.DataFrame  # by name, one row each
    scores: Mapping[tuple[str, str, str], tuple[float, ...]]  # by point, kind and metric; one per seed
    differences: Mapping[tuple[str, str, str], Difference]  # likewise
    reliability: pd.DataFrame
    corruption: pd.DataFrame
    experts: pd.DataFrame
    sampled: pd.DataFrame  # no rows where no gate is stochastic
    curves: Mapping[str, pd.DataFrame]
    notes: Sequence[str]  # on the pictures: what ingest made of them

    @property
    def sparse(self) -> list[str]:
        return [name for name in self.points.index if not math.isnan(self.number(name, "experts"))]

    @property
    def twin(self) -> str:
        """The dense twin of the chosen point."""
        return self.twin_of(self.chosen)

    @property
    def seeds(self) -> int:
        return len(self.scores[self.chosen, RAW, "accuracy"])

    @property
    def pictures(self) -> int:
        """Test pictures: each is asked once per seed."""
        rows = self.reliability
        count = rows.loc[(rows["point"] == self.chosen) & (rows["kind"] == RAW), "count"].sum()
        return int(count) // self.seeds

    @property
    def bins(self) -> int:
        return int(self.reliability["bin"].max()) + 1

    def twin_of(self, point: str) -> str:
        return str(self.points.at[point, "twin"])

    def number_of_experts(self, point: str) -> int:
        return int(self.number(point, "experts"))

    def number(self, point: str, column: str) -> float:
        """What `points` says of a point in a column of numbers."""
        return float(cast(float, self.points.at[point, column]))

    def spread(self, point: str, metric: str, kind: str = RAW) -> Spread:
        return spread(self.scores.get((point, kind, metric), ()))


def read_moe() -> Moe:
    """All inputs of the chapters on the mixture of experts, from the working directory."""
    folder, maker = PATHS.details, stage("evaluate@bayes_moe")
    table = read_csv(PATHS.reports / "table.csv", maker, ["point", "seed", "kind", "metric", "value"])
    about = PATHS.reports / "metrics.json"
    chosen = str(read_json(about, maker, ["chosen"])["chosen"])
    frames = {
        name: read_parquet(folder / f"{name}.parquet", maker, columns, may_be_empty=name == "sampled")
        for name, columns in _COLUMNS.items()
    }
    points = frames.pop("points").set_index("point")
    sparse = points.index[points["experts"].notna()]
    if chosen not in sparse:
        raise malformed(about, maker, f"the chosen {chosen} is no sparse point of the evaluation")
    expected = dict.fromkeys(("reliability", "corruption"), points.index) | dict.fromkeys(
        ("differences", "experts"), sparse
    )
    for name, needed in expected.items():
        for point in needed.difference(list(frames[name]["point"].unique())):
            raise malformed(folder / f"{name}.parquet", maker, f"nothing about {point}")
    scores = {
        (str(point), str(kind), str(metric)): tuple(values)
        for (point, kind, metric), values in table.sort_values("seed", kind="stable").groupby(
            ["point", "kind", "metric"], sort=False
        )["value"]
    }
    for point in points.index:
        for kind in (RAW, SCALED):
            for metric in ("accuracy", "nll", "ece"):
                if (point, kind, metric) not in scores:
                    raise malformed(PATHS.reports / "table.csv", maker, f"no {metric} ({kind}) of {point}")
    differences = {
        (str(row["point"]), str(row["kind"]), str(row["metric"])): Difference(
            *(float(row[name]) for name in ("value", "low", "high", "p"))
        )
        for row in frames.pop("differences").to_dict("records")
    }
    for kind in (RAW, SCALED):
        for metric in ("accuracy", "nll", "ece"):
            for point in sparse:
                if (point, kind, metric) not in differences:
                    raise malformed(folder / "differences.parquet", maker, f"no {metric} ({kind}) of {point}")
    curves = {str(point): _curve(str(point), point in sparse) for point in points.index}
    sources = {what: read_json(path, stage(maker), ["notes"]) for what, (path, maker) in _SOURCES.items()}
    notes = [f"{what}: {note}" for what, source in sources.items() for note in source["notes"]]
    return Moe(chosen, points, scores, differences, curves=curves, notes=notes, **frames)


def _curve(point: str, sparse: bool) -> pd.DataFrame:
    """The learning curve of a point: of a sparse one also `validation_entropy` and `validation_load_<expert>`."""
    columns = [*_CURVE, *(["validation_entropy", "validation_load_0"] if sparse else [])]
    return read_csv(PATHS.curves / f"{point}.csv", stage(f"moe_sweep@{point}"), columns, others=True)
