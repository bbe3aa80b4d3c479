"""CFM-VC as MLflow serves it: rows of (perturbation, cell_type, batch) in, mean expression of each gene out.

MLflow runs this file ("models from code"): nothing is pickled, and the weights are the safetensors of the model's
artifacts. R: rows asked for, G: genes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from pipeline.data.cells import Cells
from pipeline.data.doses import Doses
from pipeline.models.baselines import Question
from pipeline.models.flow import FlowField
from pipeline.models.predict import cfm_vc
from pipeline.models.vae import Vae
from pipeline.tracking.controls import Controls, load_controls
from pipeline.training.weights import load_model


class CfmVc(PythonModel):
    """What a population would look like under a perturbation, from training controls of its cell type."""

    def load_context(self, context: Any) -> None:
        folders = {name: Path(path) for name, path in context.artifacts.items()}
        self.vae, _ = load_model(folders["vae"], Vae)
        self.field, trained = load_model(folders["flow"], FlowField)
        self.source = trained["source"]
        self.doses = Doses(trained["doses"])
        self.controls = load_controls(folders["controls"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """Mean log-normalised expression, (R, G): natural log of 1 + counts scaled to the training controls' median.

        params: `cells`, control cells that a row starts from, at most; `steps` of the solver; `seed` of the choice of
        cells and of sampling. A batch never seen is "unknown" to the model; a perturbation never seen, or a cell type
        of which there are no controls, is a ValueError.
        """
        settings = {"cells": 100, "steps": 20, "seed": 0, **(params or {})}
        method = cfm_vc(self.vae, self.field, self.source, settings["steps"], settings["seed"], torch.device("cpu"))
        columns = (model_input[name].astype(str) for name in ("perturbation", "cell_type", "batch"))
        answers = [
            method(
                question(self.controls, self.doses, perturbation, cell_type, batch, settings["cells"], settings["seed"])
            ).mean_G
            for perturbation, cell_type, batch in zip(*columns, strict=True)
        ]
        table = np.array(answers, dtype=np.float64).reshape(-1, len(self.controls.genes))
        return pd.DataFrame(table, columns=self.controls.genes, index=model_input.index)


def question(
    controls: Controls, doses: Doses, perturbation: str, cell_type: str, batch: str, most: int, seed: int
) -> Question:
    """The question that a row asks, from at most `most` controls of its cell type, of its own batch where there are."""
    codes = {
        "perturbation": _code(controls, "perturbation", perturbation),
        "cell_type": _code(controls, "cell_type", cell_type),
    }
    batches = controls.categories["batch"]
    batch_code = batches.index(batch) if batch in batches else len(batches)  # one past the last is "unknown"
    same_type = np.flatnonzero(controls.cells.cell_type == codes["cell_type"])
    if not len(same_type):
        raise ValueError(f"the model holds no control cells of cell type {cell_type!r} to start from")
    same_batch = same_type[controls.cells.batch[same_type] == batch_code]
    rows = np.random.default_rng(seed).permutation(same_batch if len(same_batch) else same_type)[:most]
    start = controls.cells.select(rows)
    fields = {name: getattr(start, name) for name in Cells.__dataclass_fields__}
    return Question(
        cell_type=codes["cell_type"],
        perturbation=codes["perturbation"],
        control=controls.categories["perturbation"].index(controls.control),
        p_P=doses.vector(doses.of_label[perturbation]),
        doses_CP=doses.matrix(controls.categories["perturbation"]),
        start=Cells(**{**fields, "batch": np.full(len(rows), batch_code, dtype=np.int64)}),
        expression_BG=np.zeros((0, 0), dtype=np.float32),  # of use to baselines only
        target=controls.target,
        known={},
    )


def _code(controls: Controls, covariate: str, label: str) -> int:
    known = controls.categories[covariate]
    if label not in known:
        raise ValueError(f"{covariate} {label!r} is unknown to the model; it knows {', '.join(known)}")
    return known.index(label)


set_model(CfmVc())
