"""AlphaSTomics as MLflow serves it: raw counts of cells in, one row each, and their positions out.

MLflow runs this file ("models from code"): nothing is pickled. N: cells, S: spatial dimensions.
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

from pipeline.alphastomics.trained import Tissue
from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.core.wording import counted
from pipeline.data.store import open_store
from pipeline.params.allowed import check
from pipeline.params.section import Draws, Seed, Steps
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
UNCERTAINTY = ("spread", "radius_90")  # columns of the answer
LABELS = ("section", "cell_type")  # columns that are no genes; both may be left out
SETTINGS = {"draws": (Draws, 4), "steps": (Steps, 50), "seed": (Seed, 0)}
MOST_CELLS = 2_000
MOST_CELL_STEPS = 1_000_000  # cells times draws times steps, so that clients do not time out
EXAMPLE_CELLS = 16


class ServedTissue(PythonModel):
    """Samples positions of cells from their expression."""

    def load_context(self, context: Any) -> None:
        self.tissue = Tissue.load(context.artifacts["model"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """Positions, columns x, y and where there are three z, in the unit of the training sections; `spread`, the
        distance (root mean square) at which the true place is expected; and `radius_90`, of the ball around the
        position that holds it with a probability of 90 %, as `Tissue.sample` says.

        Columns are genes, raw counts; `section` names sections, which are sampled one by one (without it all cells are
        one), and `cell_type` known types. params: `draws`, of which the estimate is made; `steps` of the sampler;
        `seed`; `provenance`: adds a JSON column that says where the model comes from and what it had not seen. Genes
        are matched by name, as `Tissue.sample` says. What does not fit raises an MlflowException (HTTP 400).
        """
        settings = {name: default for name, (_, default) in SETTINGS.items()} | {"provenance": False, **(params or {})}
        try:
            for name, (kind, _) in SETTINGS.items():
                check(kind, name, settings[name])
            frame = checked_cells(model_input, settings)
            sampled = self.tissue.sample(
                anndata_of(frame),
                "expr_to_pos",
                section_column="section" if "section" in frame else None,
                cell_type_column="cell_type" if "cell_type" in frame else None,
                **{name: settings[name] for name in SETTINGS},
            )
        except ExpectedError as error:
            raise refused(error) from error
        place_NS = np.asarray(sampled.obsm["spatial"], np.float64)
        answer = pd.DataFrame(place_NS, columns=axes(place_NS.shape[1]), index=frame.index)
        for name in UNCERTAINTY:
            answer[name] = sampled.obs[f"spatial_{name}"].to_numpy(np.float64)
        if settings["provenance"]:
            answer["provenance"] = json.dumps(plain(sampled.uns["celldag"]))
        return answer


def checked_cells(model_input: Any, settings: dict[str, Any]) -> pd.DataFrame:
    """The cells as a frame. ExpectedError: no table, too large a request, or a column that holds no numbers."""
    try:
        frame = pd.DataFrame(model_input)
    except (TypeError, ValueError) as error:
        raise ExpectedError(f"the input is not a table of genes and {', '.join(LABELS)}: {error}") from error
    frame.columns = frame.columns.map(str)
    most = min(MOST_CELLS, MOST_CELL_STEPS // (settings["draws"] * settings["steps"]))
    if not 2 <= len(frame) <= most:
        raise ExpectedError(
            f"{counted(len(frame), 'cell')}: expected 2 to {most:,} at {settings['draws']} draws of "
            f"{settings['steps']} steps; split the request by section"
        )
    for name in frame.columns:
        if name not in LABELS and not pd.api.types.is_numeric_dtype(frame[name]):
            raise ExpectedError(
                f"column {name[:100]!r} holds no counts; besides genes, columns are {', '.join(LABELS)}"
            )
    return frame


def anndata_of(frame: pd.DataFrame) -> Any:
    """Counts in X, labels in obs."""
    from anndata import AnnData

    labels = [name for name in LABELS if name in frame]
    counts = frame.drop(columns=labels)
    names = [f"cell {row}" for row in range(1, len(frame) + 1)]
    obs = pd.DataFrame({name: frame[name].astype(str).to_numpy() for name in labels}, index=names)
    return AnnData(counts.to_numpy(np.float64), obs, pd.DataFrame(index=counts.columns))


def axes(dimensions: int) -> list[str]:
    return ["x", "y", "z"][:dimensions]


def plain(content: Any) -> Any:
    """What an AnnData holds in uns, for JSON."""
    if isinstance(content, dict):
        return {name: plain(value) for name, value in content.items()}
    return content.tolist() if isinstance(content, np.ndarray | np.generic) else content


def reads(at: StudyPaths) -> list[Path]:
    """The model of a run, and the store, of which a few cells are the example."""
    return [at.model, at.store]


def pack(at: StudyPaths, project: Path, folder: Path) -> Packed:
    """The model alone. ExpectedError where it cannot be loaded."""
    shutil.copytree(project / at.model, folder, dirs_exist_ok=True)
    tissue, store = Tissue.load(folder), open_store(project / at.store, "spatial")
    cells = store.read("train")
    example = pd.DataFrame(cells.dense(slice(EXAMPLE_CELLS)).astype(np.int64), columns=store.genes)
    example.insert(0, "cell_type", [store.categories["cell_type"][code] for code in cells.cell_type[:EXAMPLE_CELLS]])
    signature = ModelSignature(  # without inputs: MLflow would drop a column whose name is misspelt
        outputs=Schema([ColSpec("double", name) for name in (*axes(store.dimensions), *UNCERTAINTY)]),
        params=ParamSchema(
            [
                *(ParamSpec(name, DataType.long, default) for name, (_, default) in SETTINGS.items()),
                ParamSpec("provenance", DataType.boolean, False),
            ]
        ),
    )
    return Packed(at.model, signature, example, tissue.provenance)


set_model(ServedTissue())
