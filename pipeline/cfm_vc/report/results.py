"""Reading what the other stages wrote: a missing, empty or malformed input is an error, never a gap in the report."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.cfm_vc.paths import PATHS
from pipeline.cfm_vc.report.scoreboard import COLUMNS, Scoreboard, scoreboard
from pipeline.core.errors import ExpectedError
from pipeline.report.frames import read_csv, read_parquet
from pipeline.report.reading import Maker, malformed, read_json, stage


@dataclass(frozen=True)
class Training:
    """One trained model: `curve` has the columns epoch, train_loss and validation_loss."""

    curve: pd.DataFrame
    numbers: Mapping[str, Any]


@dataclass(frozen=True)
class PerturbationResults:
    """What preprocess, vae_pretrain, flow_train and evaluate found out about perturbations."""

    dataset: Mapping[str, Any]  # dataset.json
    quality: Mapping[str, Any]
    vae: Training
    flow: Training
    board: Scoreboard
    cells: int  # true cells of all held-out groups
    change: pd.DataFrame  # cell_type, perturbation, gene, method, change_true, change_predicted, de_rank
    latent: pd.DataFrame  # cell_type, batch, space, x, y
    population: pd.DataFrame  # cell_type, perturbation, origin, x, y


@dataclass(frozen=True)
class LeaveOneOut:
    """What `benchmarks/leave_one_out.py` found on measured cells, each cell type held out in turn."""

    scores: pd.DataFrame  # cell_type, perturbation, seed, method, role, metric, value
    board: Scoreboard  # means over the seeds
    ablation: pd.DataFrame  # variant, cell_type, perturbation, seed, metric, value
    about: Mapping[str, Any]  # where it comes from, and which variant was chosen for each cell type by what


_LEAVE_ONE_OUT = Maker("python -m benchmarks.leave_one_out", "python -m benchmarks.leave_one_out")
_ABOUT = ("title", "data_sha256", "command", "commit", "parameters", "chosen", "chosen_by")


def read_perturbation() -> PerturbationResults:
    """All inputs of the perturbation chapters, from the working directory."""
    evaluation = PATHS.details
    evaluate, preprocess = stage("evaluate@cfm_vc"), stage("preprocess@cfm_vc")
    path = PATHS.reports / "table.csv"
    table = read_csv(path, evaluate, [*COLUMNS, "cells", "low", "high"])
    return PerturbationResults(
        dataset=read_json(
            PATHS.store / "dataset.json",
            preprocess,
            [
                "simulated",
                "description",
                "input_sha256",
                "control",
                "genes",
                "categories",
                "held_out",
                "splits",
                "notes",
            ],
        ),
        quality=read_json(PATHS.reports / "quality.json", preprocess, ["histograms", "groups"]),
        vae=_training("vae", stage("vae_pretrain")),
        flow=_training("flow", stage("flow_train")),
        board=_board(path, evaluate, table),
        cells=int(table.drop_duplicates(["cell_type", "perturbation"])["cells"].sum()),
        change=read_parquet(
            evaluation / "change.parquet",
            evaluate,
            ["cell_type", "perturbation", "gene", "method", "change_true", "change_predicted", "de_rank"],
        ),
        latent=read_parquet(
            evaluation / "expression_latent.parquet", evaluate, ["cell_type", "batch", "space", "x", "y"]
        ),
        population=read_parquet(
            evaluation / "population.parquet", evaluate, ["cell_type", "perturbation", "origin", "x", "y"]
        ),
    )


def read_leave_one_out() -> LeaveOneOut:
    """The results on measured cells, which are in git: the command that makes them is not part of the DAG."""
    folder, maker = PATHS.measured, _LEAVE_ONE_OUT
    scores = read_csv(folder / "scores.csv", maker, [*COLUMNS, "seed"])
    keys = [name for name in COLUMNS if name != "value"]
    means = scores.groupby(keys, sort=False)[["value"]].mean().reset_index()
    ablation = read_csv(
        folder / "ablation.csv", maker, ["variant", "cell_type", "perturbation", "seed", "metric", "value"]
    )
    about = read_json(folder / "about.json", maker, _ABOUT)
    return LeaveOneOut(scores, _board(folder / "scores.csv", maker, means), ablation, about)


def _training(name: str, maker: Maker) -> Training:
    curve = read_csv(PATHS.curves / f"{name}.csv", maker, ["epoch", "train_loss", "validation_loss"])
    return Training(
        curve,
        read_json(
            PATHS.training / f"{name}.json", maker, ["parameters", "epochs", "best_epoch", "train", "validation"]
        ),
    )


def _board(path: Path, maker: Maker, table: pd.DataFrame) -> Scoreboard:
    try:
        board = scoreboard(table)
    except ValueError as error:
        raise malformed(path, maker, str(error)) from error
    if len(board.decisive) < 2:
        raise malformed(path, maker, "lacks the metrics that decide: a Pearson of change and e_distance")
    return board


def incomplete(file: str, what: str, group: str) -> ExpectedError:
    """The error of an evaluation whose `file` lacks something of a held-out group."""
    return malformed(PATHS.details / file, stage("evaluate@cfm_vc"), f"no {what} for {group}")
