"""CFM-VC as MLflow serves it: rows of (perturbation, cell_type, batch, dose) in, mean expression of each gene out.

MLflow runs this file ("models from code"): nothing is pickled, and the weights are the safetensors of the model's
artifacts. R: rows asked for, G: genes.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from pipeline.cfm_vc.data.contexts import Contexts
from pipeline.cfm_vc.data.dose_request import doses_asked
from pipeline.cfm_vc.members import member_folders
from pipeline.cfm_vc.model.predict import cfm_vc
from pipeline.cfm_vc.model.question import Question
from pipeline.cfm_vc.model.transport import Solution
from pipeline.cfm_vc.trained import CfmVc
from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.core.wording import close_to
from pipeline.data.store import open_store
from pipeline.params.allowed import check
from pipeline.params.section import Cells, Dose, Seed, Steps, Text
from pipeline.tracking.packed import Packed, refused

REQUIREMENTS = (
    "anndata",
    "h5py",
    "mlflow",
    "numcodecs",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "pyyaml",
    "safetensors",
    "scipy",
    "torch",
    "zarr",
)
PARTS = ("vae", "flow", "contexts")
COLUMNS = {"perturbation": Text, "cell_type": Text, "batch": Text, "dose": Dose}
SETTINGS = {"cells": Cells, "steps": Steps, "seed": Seed}
MOST_ROWS = 1_000
MOST_ROW_STEPS = 50_000  # rows times solver steps, so that clients do not time out


class ServedCfmVc(PythonModel):
    """Predicts mean expression under a perturbation from training controls of the cell type."""

    def load_context(self, context: Any) -> None:
        self.model = CfmVc.load(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """Mean log-normalised expression, (R, G): natural log of 1 + counts scaled to the training controls' median.

        perturbation and dose are understood as in `CfmVc.predict` (no dose: as in training). params: `cells`, most
        control cells per row; `steps` of the solver; `seed` for the choice of cells and for sampling; `provenance`:
        adds a JSON column with the commit, parameters and data behind the model. An unseen batch is "unknown" to the
        model. Other unknown labels, unknown columns, and numbers out of range raise an MlflowException (HTTP 400).
        """
        settings = {"cells": 100, "steps": 20, "seed": 0, "provenance": False, **(params or {})}
        try:
            for name, kind in SETTINGS.items():
                check(kind, name, settings[name])
            rows = checked_rows(model_input, settings["steps"])
            answers = [self._answer(row, settings) for row in rows]
        except ExpectedError as error:
            raise refused(error) from error
        answer = pd.DataFrame(np.array(answers, dtype=np.float64), columns=self.model.genes)
        if isinstance(model_input, pd.DataFrame):
            answer.index = model_input.index
        return answer.assign(provenance=json.dumps(self.model.provenance)) if settings["provenance"] else answer

    def _answer(self, row: dict[str, Any], settings: dict[str, Any]) -> Any:
        model = self.model
        asked = question(model, **row, most=settings["cells"], seed=settings["seed"])
        solution = Solution(model.source, settings["steps"])
        method = cfm_vc(model.vae, model.field, solution, model.effects(solution), settings["seed"], model.device)
        return method(asked).mean_G


def checked_rows(model_input: Any, steps: int) -> list[dict[str, Any]]:
    """perturbation, cell_type, batch and dose (None: as in training) of each row.

    ExpectedError if a column is missing or unknown, a value is invalid, or the request is too large to be answered in
    time.
    """
    try:
        frame = pd.DataFrame(model_input)
    except (TypeError, ValueError) as error:
        raise ExpectedError(f"the input is not a table of {', '.join(COLUMNS)}: {error}") from error
    given = list(map(str, frame.columns))
    for name in given:
        if name not in COLUMNS:
            advice = close_to(name, list(COLUMNS))
            raise ExpectedError(f"unknown column {name[:100]!r}{advice}; columns are {', '.join(COLUMNS)}")
    for name in COLUMNS:
        if name not in given and name != "dose":
            raise ExpectedError(f"column {name!r} is missing")
    most = min(MOST_ROWS, MOST_ROW_STEPS // steps)
    if not 1 <= len(frame) <= most:
        raise ExpectedError(f"{len(frame):,} rows: expected 1 to {most:,} at {steps} steps; split the request")
    rows = []
    for number, row in enumerate(frame.to_dict("records"), start=1):
        dose = row.pop("dose", None)
        if isinstance(dose, float) and np.isnan(dose):  # pandas' missing value
            dose = None
        asked = {str(name): value for name, value in row.items()} | ({} if dose is None else {"dose": dose})
        for name, value in asked.items():
            check(COLUMNS[name], f"row {number}: {name}", value)
        rows.append(asked | {"dose": dose})
    return rows


def question(
    model: CfmVc,
    perturbation: str,
    cell_type: str,
    batch: str,
    dose: float | None,
    most: int,
    seed: int,
) -> Question:
    """The prediction task of a row, from at most `most` controls of its cell type, of its own batch if there are any.

    ExpectedError: an unknown treatment, or a cell type without controls.
    """
    controls: Contexts = model.contexts
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
        expression_BG=np.zeros((0, 0), dtype=np.float32),  # used by baselines only
        target=controls.target,
        known={},
    )


def reads(at: StudyPaths) -> list[Path]:
    """The models of a run, and the store that they were trained on."""
    members = member_folders(at.model)
    return [*(folder / name for folder in (at.model, *members) for name in PARTS), at.store]


def pack(at: StudyPaths, project: Path, folder: Path) -> Packed:
    """The models. ExpectedError where they cannot be loaded."""
    for own in (project / at.model, *member_folders(project / at.model)):
        for name in PARTS:
            shutil.copytree(own / name, folder / own.relative_to(project / at.model) / name)
    model, store = CfmVc.load(folder), open_store(project / at.store)
    signature = ModelSignature(  # without inputs: MLflow would drop unknown columns, such as "doses"
        outputs=Schema([ColSpec("double", gene) for gene in store.genes]),
        params=ParamSchema(
            [
                ParamSpec("cells", DataType.long, 100),
                ParamSpec("steps", DataType.long, 20),
                ParamSpec("seed", DataType.long, 0),
                ParamSpec("provenance", DataType.boolean, False),
            ]
        ),
    )
    treated = [label for label in store.categories["perturbation"] if label != store.control]
    example = pd.DataFrame({"perturbation": treated[:1], "cell_type": model.cell_types[:1], "batch": model.batches[:1]})
    return Packed(at.model / "flow", signature, example, model.provenance)


set_model(ServedCfmVc())
