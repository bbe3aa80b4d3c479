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
from pipeline.report.scores import Scores


@dataclass(frozen=True)
class Training:
    """One trained model: `curve` has the columns epoch, train_loss, validation_loss and further ones."""

    curve: pd.DataFrame
    numbers: Mapping[str, Any]


@dataclass(frozen=True)
class PerturbationResults:
    """What preprocess, vae_pretrain, flow_train and evaluate found out about perturbations."""

    dataset: Mapping[str, Any]  # dataset.json
    quality: Mapping[str, Any]
    vae: Training
    flow: Training
    scores: Scores
    table: pd.DataFrame  # cell_type, perturbation, method, cells, then one column per metric
    change: pd.DataFrame  # cell_type, perturbation, gene, method, change_true, change_predicted, de_rank
    latent: pd.DataFrame  # cell, cell_type, batch, perturbation, space, x, y
    population: pd.DataFrame  # cell_type, perturbation, origin, x, y


def read_perturbation() -> PerturbationResults:
    """All inputs of the perturbation chapters, from the working directory."""
    evaluation = paths.EVALUATION / "perturbation"
    evaluate = "evaluate@perturbation"
    return PerturbationResults(
        dataset=_json(
            paths.PROCESSED / "perturbation" / "dataset.json",
            "preprocess@perturbation",
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
        quality=_json(paths.QUALITY / "perturbation.json", "preprocess@perturbation", ["histograms", "groups"]),
        vae=_training("vae", "vae_pretrain"),
        flow=_training("flow", "flow_train"),
        scores=_json(paths.METRICS / "perturbation.json", evaluate, []),
        table=_csv(
            paths.TABLES / "perturbation.csv",
            evaluate,
            ["cell_type", "perturbation", "method", "cells"],
            text=["cell_type", "perturbation", "method"],
        ),
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


def read_drawing(path: Path) -> Markup:
    """An SVG file of the project, for use inside the page."""
    try:
        return inline_svg(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ExpectedError(f"{path} not found: `python -m pipeline dag --write` draws it") from error
    except ValueError as error:
        raise ExpectedError(f"{path}: {error}: `python -m pipeline dag --write` draws it anew") from error


def _training(name: str, stage: str) -> Training:
    curve = _csv(paths.CURVES / f"{name}.csv", stage, ["epoch", "train_loss", "validation_loss"])
    return Training(
        curve,
        _json(paths.METRICS / f"{name}.json", stage, ["parameters", "epochs", "best_epoch", "train", "validation"]),
    )


def _json(path: Path, stage: str, keys: Sequence[str]) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _missing(path, stage) from error
    except ValueError as error:
        raise _malformed(path, stage, str(error)) from error
    if not isinstance(content, dict):
        raise _malformed(path, stage, "not a JSON object")
    _check_names(path, stage, content, keys)
    return content


def _csv(path: Path, stage: str, columns: Sequence[str], text: Sequence[str] = ()) -> pd.DataFrame:
    """A CSV file whose columns are numbers (an empty field is undefined) but for those in `text`.

    Labels are kept as they are: "NA" and "007" are cell types too.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        for name in table.columns.difference(list(text)):
            table[name] = pd.to_numeric(table[name])
    except FileNotFoundError as error:
        raise _missing(path, stage) from error
    except ValueError as error:  # pandas' parser errors are ValueErrors too
        raise _malformed(path, stage, str(error)) from error
    _check_names(path, stage, table.columns, columns)
    if table.empty:
        raise _malformed(path, stage, "has no rows")
    return table


def _parquet(path: Path, stage: str, columns: Sequence[str]) -> pd.DataFrame:
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise _missing(path, stage) from error
    except pa.ArrowInvalid as error:
        raise _malformed(path, stage, str(error)) from error
    _check_names(path, stage, table.column_names, columns)
    if not table.num_rows:
        raise _malformed(path, stage, "has no rows")
    frame: pd.DataFrame = table.select(list(columns)).to_pandas()
    return frame


def _check_names(path: Path, stage: str, found: Any, expected: Sequence[str]) -> None:
    absent = [name for name in expected if name not in found]
    if absent:
        raise _malformed(path, stage, f"lacks {', '.join(absent)}")


def _missing(path: Path, stage: str) -> ExpectedError:
    return ExpectedError(f"{path} not found: `dvc repro {stage}` makes it")


def _malformed(path: Path, stage: str, problem: str) -> ExpectedError:
    return ExpectedError(f"{path}: {problem}: `dvc repro --force {stage}` makes it anew")
