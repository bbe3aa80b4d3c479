"""Reading what the other stages wrote: a missing, empty or malformed input is an error, never a gap in the report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import Markup

from pipeline import paths
from pipeline.errors import ExpectedError
from pipeline.report.page import inline_svg
from pipeline.report.scoreboard import COLUMNS, Scoreboard, scoreboard


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


@dataclass(frozen=True)
class Maker:
    """The command that makes a file, and the one that makes it anew."""

    command: str
    again: str


def _stage(name: str) -> Maker:
    return Maker(f"dvc repro {name}", f"dvc repro --force {name}")


_LEAVE_ONE_OUT = Maker("python -m benchmarks.leave_one_out", "python -m benchmarks.leave_one_out")
_ABOUT = ("title", "data_sha256", "command", "commit", "parameters", "chosen", "chosen_by")
_LABELS = ("cell_type", "perturbation", "method", "role", "metric", "variant")  # columns of text


def read_perturbation() -> PerturbationResults:
    """All inputs of the perturbation chapters, from the working directory."""
    evaluation = paths.EVALUATION / "perturbation"
    evaluate, preprocess = _stage("evaluate@perturbation"), _stage("preprocess@perturbation")
    path = paths.TABLES / "perturbation.csv"
    table = _csv(path, evaluate, [*COLUMNS, "cells", "low", "high"])
    return PerturbationResults(
        dataset=_json(
            paths.PROCESSED / "perturbation" / "dataset.json",
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
        quality=_json(paths.QUALITY / "perturbation.json", preprocess, ["histograms", "groups"]),
        vae=_training("vae", _stage("vae_pretrain")),
        flow=_training("flow", _stage("flow_train")),
        board=_board(path, evaluate, table),
        cells=int(table.drop_duplicates(["cell_type", "perturbation"])["cells"].sum()),
        change=_parquet(
            evaluation / "change.parquet",
            evaluate,
            ["cell_type", "perturbation", "gene", "method", "change_true", "change_predicted", "de_rank"],
        ),
        latent=_parquet(evaluation / "expression_latent.parquet", evaluate, ["cell_type", "batch", "space", "x", "y"]),
        population=_parquet(
            evaluation / "population.parquet", evaluate, ["cell_type", "perturbation", "origin", "x", "y"]
        ),
    )


def read_leave_one_out() -> LeaveOneOut:
    """The results on measured cells, which are in git: the command that makes them is not part of the DAG."""
    folder, maker = paths.LEAVE_ONE_OUT, _LEAVE_ONE_OUT
    scores = _csv(folder / "scores.csv", maker, [*COLUMNS, "seed"])
    keys = [name for name in COLUMNS if name != "value"]
    means = scores.groupby(keys, sort=False)[["value"]].mean().reset_index()
    ablation = _csv(folder / "ablation.csv", maker, ["variant", "cell_type", "perturbation", "seed", "metric", "value"])
    about = _json(folder / "about.json", maker, _ABOUT)
    return LeaveOneOut(scores, _board(folder / "scores.csv", maker, means), ablation, about)


def read_drawing(path: Path) -> Markup:
    """An SVG file of the project, for use inside the page."""
    try:
        return inline_svg(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ExpectedError(f"{path} not found: `python -m pipeline dag --write` draws it") from error
    except ValueError as error:
        raise ExpectedError(f"{path}: {error}: `python -m pipeline dag --write` draws it anew") from error


def _training(name: str, maker: Maker) -> Training:
    curve = _csv(paths.CURVES / f"{name}.csv", maker, ["epoch", "train_loss", "validation_loss"])
    return Training(
        curve,
        _json(paths.METRICS / f"{name}.json", maker, ["parameters", "epochs", "best_epoch", "train", "validation"]),
    )


def _board(path: Path, maker: Maker, table: pd.DataFrame) -> Scoreboard:
    try:
        board = scoreboard(table)
    except ValueError as error:
        raise _malformed(path, maker, str(error)) from error
    if len(board.decisive) < 2:
        raise _malformed(path, maker, "lacks the metrics that decide: a Pearson of change and e_distance")
    return board


def _json(path: Path, maker: Maker, keys: Sequence[str]) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _missing(path, maker) from error
    except ValueError as error:
        raise _malformed(path, maker, str(error)) from error
    if not isinstance(content, dict):
        raise _malformed(path, maker, "not a JSON object")
    _check_names(path, maker, content, keys)
    return content


def _csv(path: Path, maker: Maker, columns: Sequence[str]) -> pd.DataFrame:
    """These columns of a CSV file: numbers (an empty field is undefined), but for the `_LABELS`.

    Labels are kept as they are: "NA" and "007" are cell types too.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        _check_names(path, maker, table.columns, columns)
        table = table[list(columns)]
        for name in table.columns.difference(list(_LABELS)):
            table[name] = pd.to_numeric(table[name])
    except FileNotFoundError as error:
        raise _missing(path, maker) from error
    except ValueError as error:  # pandas' parser errors are ValueErrors too
        raise _malformed(path, maker, str(error)) from error
    if table.empty:
        raise _malformed(path, maker, "has no rows")
    return table


def _parquet(path: Path, maker: Maker, columns: Sequence[str]) -> pd.DataFrame:
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise _missing(path, maker) from error
    except pa.ArrowInvalid as error:
        raise _malformed(path, maker, str(error)) from error
    _check_names(path, maker, table.column_names, columns)
    if not table.num_rows:
        raise _malformed(path, maker, "has no rows")
    frame: pd.DataFrame = table.select(list(columns)).to_pandas()
    return frame


def _check_names(path: Path, maker: Maker, found: Any, expected: Sequence[str]) -> None:
    absent = [name for name in expected if name not in found]
    if absent:
        raise _malformed(path, maker, f"lacks {', '.join(absent)}")


def incomplete(file: str, what: str, group: str) -> ExpectedError:
    """The error of an evaluation whose `file` lacks something of a held-out group."""
    return _malformed(
        paths.EVALUATION / "perturbation" / file, _stage("evaluate@perturbation"), f"no {what} for {group}"
    )


def _missing(path: Path, maker: Maker) -> ExpectedError:
    return ExpectedError(f"{path} not found: `{maker.command}` makes it")


def _malformed(path: Path, maker: Maker, problem: str) -> ExpectedError:
    return ExpectedError(f"{path}: {problem}: `{maker.again}` makes it anew")
