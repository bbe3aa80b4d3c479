"""Reading the outputs of other stages: a missing, empty or malformed input is an error, never a gap in the report."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.cfm_vc.decisive import decisive, unit_of
from pipeline.cfm_vc.glossary import GLOSSARY
from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.metrics.runs import first_run
from pipeline.metrics.scoreboard import Scoreboard, scoreboard
from pipeline.metrics.verdict import Comparison, compare
from pipeline.report.frames import read_csv, read_parquet
from pipeline.report.measured import MAKER, MeasuredStudy, measured_studies
from pipeline.report.reading import Maker, malformed, read_json, read_scores, stage
from pipeline.report.runs import Folds


@dataclass(frozen=True)
class Training:
    """One trained model: `curve` has the columns epoch, train_loss and validation_loss."""

    curve: pd.DataFrame
    numbers: Mapping[str, Any]


Group = tuple[str, str]  # cell type, perturbation


@dataclass(frozen=True)
class Trained:
    """Outputs of preprocess, vae_pretrain and flow_train: of the first run, and what each fold holds out."""

    dataset: Mapping[str, Any]  # dataset.json
    quality: Mapping[str, Any]
    vae: Training
    flow: Training
    folds: Folds
    held_out: Mapping[str, Mapping[Group, int]]  # by fold: cells of the groups it holds out, after filtering

    @property
    def cell_types(self) -> list[str]:
        """Those that a fold holds out, of which names of folds are made."""
        return list(dict.fromkeys(cell_type for groups in self.held_out.values() for cell_type, _ in groups))


@dataclass(frozen=True)
class PerturbationResults(Trained):
    """Those, and the outputs of evaluate."""

    board: Scoreboard
    change: pd.DataFrame  # unit, gene, method, change_true, change_predicted, de_rank
    latent: pd.DataFrame  # cell_type, batch, space, x, y
    population: pd.DataFrame  # unit, origin, x, y

    @property
    def cells(self) -> int:
        """Cells of all held-out groups of all folds, after filtering."""
        return sum(sum(groups.values()) for groups in self.held_out.values())


@dataclass(frozen=True)
class LeaveOneOut:
    """Results on measured cells in git, each cell type held out in turn."""

    study: MeasuredStudy
    board: Scoreboard
    ablation: pd.DataFrame  # variant, cell_type, perturbation, seed, metric, value

    @property
    def comparisons(self) -> list[Comparison]:
        """Decisive comparisons of the means over all groups and seeds."""
        return [compare(self.board, metric) for metric in decisive(self.board)]


_DATASET = (
    *("simulated", "description", "input_sha256", "control", "genes", "categories", "held_out", "splits", "notes"),
)
_CHANGE = ("cell_type", "perturbation", "gene", "method", "change_true", "change_predicted", "de_rank")


def read_trained(at: StudyPaths, folds: Folds) -> Trained:
    """What the chapter shows of the first run of a study, whether or not it is evaluated."""
    at = first_run(at, folds)
    qualities = {fold: _quality(replace(at, fold=fold)) for fold in folds}
    return Trained(
        dataset=read_json(at.store / "dataset.json", _preprocess(at), _DATASET),
        quality=qualities[str(at.fold)],
        folds=folds,
        held_out={fold: _held_out(quality) for fold, quality in qualities.items()},
        vae=_training(at, "vae", stage(f"vae_pretrain@{at.instance}")),
        flow=_training(at, "flow", stage(f"flow_train@{at.instance}")),
    )


def read_perturbation(at: StudyPaths, folds: Folds) -> PerturbationResults:
    """All inputs of the chapter of a study."""
    evaluate, details = stage(f"evaluate@cfm_vc-{at.study}"), at.details
    return PerturbationResults(
        **vars(read_trained(at, folds)),
        board=_board(at.results, evaluate),
        change=_with_unit(read_parquet(details / "change.parquet", evaluate, _CHANGE)),
        latent=read_parquet(details / "expression_latent.parquet", evaluate, ["cell_type", "batch", "space", "x", "y"]),
        population=_with_unit(
            read_parquet(details / "population.parquet", evaluate, ["cell_type", "perturbation", "origin", "x", "y"])
        ),
    )


def read_leave_one_out(dataset: Mapping[str, Any]) -> list[LeaveOneOut]:
    """Committed results on measured cells, for a run on simulated cells or on the same file."""
    columns = ["variant", "cell_type", "perturbation", "seed", "metric", "value"]
    simulated, digest = bool(dataset["simulated"]), dataset["input_sha256"]
    return [
        LeaveOneOut(study, _board(study.scores, MAKER), read_csv(study.ablation, MAKER, columns))
        for study in measured_studies("cfm_vc", (), embedded=simulated, digest=digest)
    ]


def _preprocess(at: StudyPaths) -> Maker:
    return stage(f"preprocess@cfm_vc-{at.study}-{at.fold}")


def _quality(at: StudyPaths) -> dict[str, Any]:
    return read_json(at.quality, _preprocess(at), ["histograms", "groups"])


def _held_out(quality: Mapping[str, Any]) -> dict[Group, int]:
    of_test = (group for group in quality["groups"] if group["split"] == "test")
    return {(group["cell_type"], group["perturbation"]): int(group["after"]) for group in of_test}


def _with_unit(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds the name of each row's held-out group, as in the results."""
    pairs = zip(frame["cell_type"], frame["perturbation"], strict=True)
    return frame.assign(unit=[unit_of(*pair) for pair in pairs])


def _training(at: StudyPaths, name: str, maker: Maker) -> Training:
    curve = read_csv(at.curves / f"{at.run}-{name}.csv", maker, ["epoch", "train_loss", "validation_loss"])
    return Training(
        curve,
        read_json(
            at.training / f"{at.run}-{name}.json", maker, ["parameters", "epochs", "best_epoch", "train", "validation"]
        ),
    )


def _board(path: Path, maker: Maker) -> Scoreboard:
    board = read_scores(path, maker, lambda rows: scoreboard(rows, GLOSSARY))
    if len(decisive(board)) < 2:
        raise malformed(path, maker, "lacks the decisive metrics: a Pearson correlation of change, and e_distance")
    return board


def incomplete(file: str, what: str, group: str) -> ExpectedError:
    """The error for a `file` of the evaluation that lacks something of a held-out group."""
    return malformed(Path("details") / file, stage("evaluate"), f"no {what} for {group}")
