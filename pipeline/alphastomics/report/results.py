"""Reading what the evaluation on tissue, and the benchmark on measured sections, wrote."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.alphastomics.decisive import COVERAGE, MODEL, Boards, boards
from pipeline.alphastomics.glossary import EXPR_TO_POS
from pipeline.core.paths import StudyPaths
from pipeline.metrics.results import ALL, read_results
from pipeline.metrics.runs import first_run
from pipeline.plots.scatter import Floats
from pipeline.report.frames import read_csv, read_parquet
from pipeline.report.measured import MAKER, MeasuredStudy, measured_studies
from pipeline.report.reading import Maker, malformed, read_json, read_scores, stage
from pipeline.report.runs import Folds

_COLUMNS = {
    "distances": ["section", "true", "predicted"],
    "genes": ["section", "gene", "method", "pcc", "pcc_ceiling", "moran_true", "moran_predicted"],
    "expression": ["section", "gene", "role", "cell", "true", "predicted"],
}
_CELLS = ("section", "cell", "cell_type", "true_0", "true_1", "predicted_0", "predicted_1", "spread", "error")


@dataclass(frozen=True)
class LeftOut:
    """One measured data set, each section (or block) held out in turn."""

    study: MeasuredStudy
    boards: Boards
    ablation: pd.DataFrame  # variant, section, seed, metric, value; no rows where it was not measured

    @property
    def sections(self) -> tuple[str, ...]:
        return self.boards[EXPR_TO_POS].units


@dataclass(frozen=True)
class Spatial:
    """What evaluation found on the run's own tissue.

    Frames have the columns of `_COLUMNS`; `cells` those of `_CELLS`, and a third axis.
    """

    dataset: Mapping[str, Any]
    boards: Boards
    coverage: pd.DataFrame  # section, level, coverage: of the regions of the model's places, means over seeds
    cells: pd.DataFrame
    distances: pd.DataFrame
    genes: pd.DataFrame
    expression: pd.DataFrame
    curve: pd.DataFrame  # epoch, train_loss, validation_loss
    measured: list[LeftOut]
    folds: Folds

    @property
    def sections(self) -> tuple[str, ...]:
        return self.boards[EXPR_TO_POS].units

    @property
    def unit(self) -> str:
        """Of positions: recipes are in micrometres; of a lab's files it is not known."""
        return "µm" if self.dataset["simulated"] else ""

    @property
    def dimensions(self) -> int:
        return 3 if "true_2" in self.cells else 2


def places(cells: pd.DataFrame, side: str) -> Floats:
    """The positions (N, S) of a side, "true" or "predicted"."""
    columns = [name for name in (f"{side}_0", f"{side}_1", f"{side}_2") if name in cells]
    found: Floats = cells[columns].to_numpy(np.float64)
    return found


def read_spatial(at: StudyPaths, folds: Folds) -> Spatial:
    """All inputs of the chapter of a study; of training, those of the first run."""
    at = first_run(at, folds)
    folder, maker = at.details, stage(f"evaluate@alphastomics-{at.study}")
    preprocess = stage(f"preprocess@alphastomics-{at.study}-{at.fold}")
    dataset = read_json(at.store / "dataset.json", preprocess, ["simulated", "description", "input_sha256"])
    found = read_scores(at.results, maker, boards)
    cells = read_parquet(folder / "cells.parquet", maker, _CELLS, others=True)
    frames = {name: read_parquet(folder / f"{name}.parquet", maker, columns) for name, columns in _COLUMNS.items()}
    for name, frame in {"cells": cells, **frames}.items():
        for column in frame.select_dtypes("number"):
            if not np.isfinite(frame[column]).all():
                raise malformed(folder / f"{name}.parquet", maker, f"a value of {column} is not finite")
        for section in set(found[EXPR_TO_POS].units) - set(frame["section"]):
            raise malformed(folder / f"{name}.parquet", maker, f"nothing about section {section}")
    keys = ["section", "cell"]
    known = pd.MultiIndex.from_frame(cells[keys])
    if known.has_duplicates:
        raise malformed(folder / "cells.parquet", maker, "holds a cell of a section twice")
    if not pd.MultiIndex.from_frame(frames["expression"][keys]).isin(known).all():
        raise malformed(folder / "expression.parquet", maker, "holds a cell that is not in cells.parquet")
    return Spatial(
        dataset=dataset,
        boards=found,
        coverage=_coverage(at.results, maker),
        cells=cells,
        curve=read_csv(
            at.curves / f"{at.run}.csv",
            stage(f"diffusion_train@{at.instance}"),
            ["epoch", "train_loss", "validation_loss"],
        ),
        measured=_measured(dataset),
        folds=folds,
        **frames,
    )


def _coverage(path: Path, maker: Maker) -> pd.DataFrame:
    """Of the rows of results, coverage of single sections. ExpectedError where there is none."""
    rows = [
        {"section": row.unit, "level": int(row.metric.removeprefix(COVERAGE)) / 100, "coverage": row.value}
        for row in read_results(path, maker.command, maker.again)
        if row.method == MODEL and row.metric.startswith(COVERAGE) and row.unit != ALL
    ]
    if not rows:
        raise malformed(path, maker, f"has no coverage of {MODEL}")
    by_level = pd.DataFrame(rows).groupby(["section", "level"], sort=False)
    return by_level["coverage"].mean().reset_index()


def _measured(dataset: Mapping[str, Any]) -> list[LeftOut]:
    """The measured data sets whose results are in git, by name; there need not be any."""
    columns, found = ["variant", "section", "seed", "metric", "value"], []
    simulated, digest = bool(dataset["simulated"]), dataset["input_sha256"]
    for study in measured_studies("alphastomics", (), embedded=simulated, digest=digest):
        there = study.ablation.exists()
        ablation = read_csv(study.ablation, MAKER, columns) if there else pd.DataFrame(columns=columns)
        if len(ablation) and "reference" not in set(ablation["variant"]):
            raise malformed(study.ablation, MAKER, "lacks the variant reference, which the others are compared with")
        found.append(LeftOut(study, read_scores(study.scores, MAKER, boards), ablation))
    return found
