"""CFM-VC as MLflow serves it: rows of (perturbation, cell_type, batch, dose) in, mean expression of each gene out.

MLflow runs this file ("models from code"): nothing is pickled, and the weights are the safetensors of the model's
artifacts. R: rows asked for, G: genes.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel

from pipeline.cfm_vc import CfmVc
from pipeline.data.dose_request import doses_asked
from pipeline.data.source import close_to
from pipeline.errors import ExpectedError
from pipeline.models.baselines import Question
from pipeline.models.predict import Solution, cfm_vc
from pipeline.tracking.controls import Controls, load_controls


class ServedCfmVc(PythonModel):
    """What a population would look like under a perturbation, from training controls of its cell type."""

    def load_context(self, context: Any) -> None:
        folder = Path(context.artifacts["vae"]).parent
        self.model = CfmVc.load(folder)
        self.controls = load_controls(folder / "controls")

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """Mean log-normalised expression, (R, G): natural log of 1 + counts scaled to the training controls' median.

        perturbation and dose are understood as in `CfmVc.predict` (no dose: as in training). params: `cells`, control
        cells that a row starts from, at most; `steps` of the solver; `seed` of the choice of cells and of sampling;
        `provenance`: whether a further column says, as JSON, which commit, parameters and data the model comes from. A
        batch never seen is "unknown" to the model; a treatment never seen, or a cell type of which there are no
        controls, is an MlflowException (HTTP 400).
        """
        settings = {"cells": 100, "steps": 20, "seed": 0, "provenance": False, **(params or {})}
        try:
            answers = [self._answer(row, settings) for row in model_input.to_dict("records")]
        except ExpectedError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from error
        table = np.array(answers, dtype=np.float64).reshape(-1, len(self.controls.genes))
        answer = pd.DataFrame(table, columns=self.controls.genes, index=model_input.index)
        return answer.assign(provenance=json.dumps(self.model.provenance)) if settings["provenance"] else answer

    def _answer(self, row: dict[Any, Any], settings: dict[str, Any]) -> Any:
        labels = {name: str(row[name]) for name in ("perturbation", "cell_type", "batch")}
        given = row.get("dose")
        dose = None if given is None or np.isnan(given) else float(given)
        asked = question(self.controls, self.model, **labels, dose=dose, most=settings["cells"], seed=settings["seed"])
        model = self.model
        solution = Solution(model.source, settings["steps"])
        method = cfm_vc(model.vae, model.field, solution, settings["seed"], model.device)
        return method(asked).mean_G


def question(
    controls: Controls,
    model: CfmVc,
    perturbation: str,
    cell_type: str,
    batch: str,
    dose: float | None,
    most: int,
    seed: int,
) -> Question:
    """The question that a row asks, from at most `most` controls of its cell type, of its own batch where there are.

    ExpectedError: a treatment that the model does not know, or a cell type without controls.
    """
    doses = doses_asked(model.doses, perturbation, dose)
    known = controls.categories["cell_type"]
    if cell_type not in known:
        raise ExpectedError(
            f"cell_type {cell_type!r} is unknown to the model{close_to(cell_type, known)}; it knows {', '.join(known)}"
        )
    batches = controls.categories["batch"]
    batch_code = batches.index(batch) if batch in batches else len(batches)  # one past the last is "unknown"
    same_type = np.flatnonzero(controls.cells.cell_type == known.index(cell_type))
    if not len(same_type):
        raise ExpectedError(f"the model holds no control cells of cell type {cell_type!r} to start from")
    same_batch = same_type[controls.cells.batch[same_type] == batch_code]
    rows = np.random.default_rng(seed).permutation(same_batch if len(same_batch) else same_type)[:most]
    start = controls.cells.select(rows)
    labels = controls.categories["perturbation"]
    in_training = perturbation in labels and doses == model.doses.of_label[perturbation]
    return Question(
        cell_type=known.index(cell_type),
        perturbation=labels.index(perturbation) if in_training else len(labels),
        control=labels.index(controls.control),
        p_P=model.doses.vector(doses),
        doses_CP=model.doses.matrix(labels),
        start=start.relabelled(batch=np.full(len(rows), batch_code, dtype=np.int64)),
        expression_BG=np.zeros((0, 0), dtype=np.float32),  # of use to baselines only
        target=controls.target,
        known={},
    )


set_model(ServedCfmVc())
