"""Reading what the sweep of image classifiers and its evaluation wrote, checked point by point."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import pandas as pd

from pipeline.bayes_moe.decisive import against_twin, decisive
from pipeline.bayes_moe.glossary import GLOSSARY, RAW, SCALED
from pipeline.core.paths import StudyPaths
from pipeline.metrics.glossary import Method
from pipeline.metrics.scoreboard import Estimate, Scoreboard, scoreboard
from pipeline.metrics.verdict import Comparison
from pipeline.report.frames import read_csv, read_parquet
from pipeline.report.reading import Maker, malformed, read_json, read_scores, stage

_CURVE = ("seed", "epoch", "validation_nll", "validation_accuracy", "validation_ece")
COLUMNS = {
    "points": [
        *("point", "twin", "chosen", "place", "experts", "top_k", "gate", "balance", "balance_weight"),
        *("hidden", "dropout", "members"),
        *("parameters", "activated_parameters", "flops", "activated_flops"),
    ],
    "reliability": ["point", "kind", "bin", "count", "confidence", "accuracy"],
    "corruption": ["point", "seed", "corruption", "severity", "accuracy", "nll", "ece"],
    "experts": ["point", "seed", "expert", "label", "tokens"],
    "sampled": ["point", "seed", "samples", "accuracy", "nll", "ece", "flops"],
    "ensembles": [
        *("point", "networks", "samples", "accuracy", "nll", "brier", "ece", "aurc", "auroc"),
        *("corrupted_accuracy", "corrupted_nll", "equivalents", "low", "high", "flops"),
    ],
    "power": ["metric", "kind", "difference", "deviation", "floor", "smallest", "needed"],
    "coverage": ["point", "score", "seed", "coverage", "risk"],
    "abstention": ["point", "score", "aurc", "difference", "low", "high"],
    "stability": ["point", "seed", "corruption", "severity", "same"],
    "agreement": ["point", "first", "second", "agreement"],
}
_MAY_BE_EMPTY = ("sampled", "power", "agreement")


@dataclass(frozen=True)
class Moe:
    """The sweep. Frames have the columns of `COLUMNS`; `curves` those of `_CURVE` and, of sparse points, more."""

    points: pd.DataFrame  # by name, one row each
    board: Scoreboard  # of all points; sparse ones are models, the chosen one first, and dense ones baselines
    reliability: pd.DataFrame
    corruption: pd.DataFrame
    experts: pd.DataFrame
    sampled: pd.DataFrame  # no rows where no gate is stochastic
    ensembles: pd.DataFrame
    power: pd.DataFrame  # no rows for a single seed
    coverage: pd.DataFrame
    abstention: pd.DataFrame
    stability: pd.DataFrame
    agreement: pd.DataFrame  # no rows for a single seed
    curves: Mapping[str, pd.DataFrame]
    source: Mapping[str, Any]  # source.json of the images
    notes: Sequence[str]  # on the images: what ingest made of them

    @property
    def chosen(self) -> str:
        """The sparse point with the best validation NLL."""
        return self.board.models[0].name

    @property
    def twin(self) -> str:
        """The dense twin of the chosen point."""
        return self.twin_of(self.chosen)

    @property
    def sparse(self) -> list[str]:
        return [method.name for method in self.board.models]

    @property
    def seeds(self) -> int:
        return len(self.board.seeds)

    @property
    def images(self) -> int:
        """Test images: each is classified once per seed."""
        rows = self.reliability
        count = rows.loc[(rows["point"] == self.chosen) & (rows["kind"] == RAW), "count"].sum()
        return int(count) // self.seeds

    @property
    def bins(self) -> int:
        return int(self.reliability["bin"].max()) + 1

    @property
    def groups(self) -> list[Scoreboard]:
        """The points in each place of the network, which share a dense twin."""
        twins = dict.fromkeys(self.points["twin"])
        members = {twin: tuple(m for m in self.board.methods if self.twin_of(m.name) == twin) for twin in twins}
        return [replace(self.board, methods=methods) for methods in members.values()]

    def largest_ensemble(self, point: str) -> int:
        """Of the networks of a dense point."""
        return int(self.ensembles.loc[self.ensembles["point"] == point, "networks"].max())

    def twin_of(self, point: str) -> str:
        return str(self.points.at[point, "twin"])

    def label(self, point: str) -> str:
        return self.board.method(point).label

    def quoted(self, point: str) -> str:
        """The label within a sentence, where "dense" or "top 1" alone would read as words."""
        return f"“{self.label(point)}”"

    def role(self, point: str) -> Literal["model", "baseline", "other"]:
        """How a point is drawn: the chosen one as the model, dense ones as baselines."""
        return "model" if point == self.chosen else "other" if point in self.sparse else "baseline"

    def dense_kind(self, point: str) -> str:
        """What a dense point is, in a few words."""
        if self.twin_of(point) == point:
            return "dense twin"
        hidden, dropout, members = (self.number(point, name) for name in ("hidden", "dropout", "members"))
        if not pd.isna(members):
            return f"{members:.0f} members, averaged"
        units = "" if pd.isna(hidden) else f", {hidden:.0f} units"
        return f"dense{units}" + (f", dropout {dropout:g}" if dropout else "")

    def number_of_experts(self, point: str) -> int:
        return int(self.number(point, "experts"))

    def number(self, point: str, column: str) -> float:
        """What `points` says of a point in a column of numbers."""
        return float(cast(float, self.points.at[point, column]))

    def score(self, point: str, metric: str, unit: str = RAW) -> Estimate:
        """The mean over seeds with its deviation."""
        return self.board.estimate(self.board.method(point), GLOSSARY.metric(metric), unit)

    def against_twin(self, point: str, metric: str, unit: str = RAW) -> Comparison:
        return self.against(point, self.twin_of(point), metric, unit)

    def against(self, point: str, dense: str, metric: str, unit: str = RAW) -> Comparison:
        """A sparse point beside a dense one in its place."""
        return against_twin(self.board, metric, unit, point, dense)

    def dense_beside(self, point: str) -> list[str]:
        """The dense points in the place of a sparse one, its twin first."""
        twin = self.twin_of(point)
        others = [m.name for m in self.board.methods if m.name not in self.sparse and self.twin_of(m.name) == twin]
        return [twin, *(name for name in others if name != twin)]

    @property
    def decisive(self) -> list[Comparison]:
        """Those of the chosen point."""
        return list(decisive(self.board, self.chosen, self.twin).values())


def read_moe(at: StudyPaths) -> Moe:
    """All inputs of the chapter of a study."""
    maker = stage(f"evaluate@bayes_moe-{at.study}")
    files = {name: at.details / f"{name}.parquet" for name in COLUMNS}
    frames = {
        name: read_parquet(files[name], maker, columns, may_be_empty=name in _MAY_BE_EMPTY)
        for name, columns in COLUMNS.items()
    }
    points = frames.pop("points").set_index("point")
    points = points.astype(dict.fromkeys(("experts", "hidden", "members"), float))  # None where no point has any
    board = _board(at, points, maker)
    sparse = {method.name for method in board.models}
    if list(points.index[points["chosen"]]) != [board.models[0].name]:
        raise malformed(files["points"], maker, "does not say which one sparse point was chosen")
    everything = set(points.index)
    needs = {"reliability": everything, "corruption": everything, "ensembles": everything, "experts": sparse}
    needs |= {"stability": sparse, "abstention": sparse}
    for name, needed in needs.items():
        for point in sorted(needed - set(frames[name]["point"])):
            raise malformed(files[name], maker, f"nothing about {point}")
    curves = {str(point): _curve(at, str(point), point in sparse) for point in points.index}
    source = read_json(at.raw / "source.json", stage(f"ingest@bayes_moe-{at.study}"), ["notes", "description"])
    ood = read_json(at.reports / "ood.json", stage(f"ingest_ood@{at.study}"), ["notes"])
    notes = [f"Images: {note}" for note in source["notes"]]
    notes += [f"Out-of-distribution images: {note}" for note in ood["notes"]]
    return Moe(points, board, curves=curves, source=source, notes=notes, **frames)


def _board(at: StudyPaths, points: pd.DataFrame, maker: Maker) -> Scoreboard:
    """The scores, the chosen point first. ExpectedError where a point lacks a score or its difference to its twin."""
    board = read_scores(at.results, maker, lambda rows: scoreboard(rows, GLOSSARY))
    for method in board.methods:
        if method.name not in points.index:
            raise malformed(at.details / "points.parquet", maker, f"nothing about {method.name}")
    if absent := sorted(set(points.index) - {method.name for method in board.methods}):
        raise malformed(at.results, maker, f"nothing about {absent[0]}")
    for metric in (GLOSSARY.metric(name) for name in ("accuracy", "nll", "ece")):
        for unit in (RAW, SCALED):
            for method in board.methods:
                twin = board.method(str(points.at[method.name, "twin"]))
                if board.estimate(method, metric, unit).value is None:
                    raise malformed(at.results, maker, f"no {metric.name} ({unit}) of {method.name}")
                if method.role == "model" and board.difference(method, twin, metric, unit) is None:
                    raise malformed(at.results, maker, f"no {metric.name} ({unit}) of {method.name} - {twin.name}")
    ordered = sorted(board.methods, key=lambda method: not points.at[method.name, "chosen"])
    return replace(board, methods=tuple(replace(one, definition=_definition(one, points)) for one in ordered))


def _definition(method: Method, points: pd.DataFrame) -> str:
    of = points.loc[method.name]
    if method.role == "baseline":
        if not pd.isna(of["members"]):
            return (
                f"{of['members']:.0f} narrow last stages with a feed-forward network each behind shared layers; their "
                "probabilities are averaged. Each learns by itself, and differing is rewarded."
            )
        units: str = "" if pd.isna(of["hidden"]) else f" of {of['hidden']:.0f} units"
        noise = f" Dropout of {of['dropout']:g} before each of its layers and the classifier." if of["dropout"] else ""
        return f"Dense, in the {of['place']}: one feed-forward network{units} that every image goes through.{noise}"
    return (
        f"Sparse, in the {of['place']}: {of['experts']:.0f} experts, {of['top_k']} active; gate: {of['gate']}; "
        f"balance: {of['balance']}, weight {of['balance_weight']:g}."
    )


def _curve(at: StudyPaths, point: str, sparse: bool) -> pd.DataFrame:
    """The learning curve of a point: of a sparse one also `validation_entropy` and `validation_load_<expert>`."""
    columns = [*_CURVE, *(["validation_entropy", "validation_load_0"] if sparse else [])]
    return read_csv(at.curves / f"{point}.csv", stage(f"moe_sweep@{at.study}-{point}"), columns, others=True)
