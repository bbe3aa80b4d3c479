"""The classifier that validation chose, as MLflow serves it: images in, the probability of each class out.

MLflow runs this file ("models from code"): nothing is pickled. N: images, H, W: pixels, C: channels, K: classes.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from pipeline.bayes_moe.data.images import Images, Values, read_images
from pipeline.bayes_moe.data.resident import ResidentImages
from pipeline.bayes_moe.decisive import chosen_on_validation
from pipeline.bayes_moe.evaluation.point_predictions import PointPredictions
from pipeline.bayes_moe.glossary import GLOSSARY
from pipeline.bayes_moe.model.classifier import logits
from pipeline.bayes_moe.model.resnet import ResNet18
from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256
from pipeline.core.paths import StudyPaths
from pipeline.core.provenance import commit_around
from pipeline.core.sealed import read_sealed, write_sealed
from pipeline.metrics.results import read_results
from pipeline.metrics.scoreboard import scoreboard
from pipeline.tracking.packed import Packed, refused
from pipeline.training.weights import WEIGHTS, load_model

REQUIREMENTS = ("mlflow", "numpy", "pandas", "pillow", "pydantic", "safetensors", "torch")
MOST_IMAGES = 1_000
BATCH = 64  # images at once, since those of a minibatch share the memory
EXAMPLE_IMAGES = 4
ABOUT = "served.json"


class ServedClassifier(PythonModel):
    """Class probabilities without any noise of the gate, after temperature scaling on the validation images."""

    def load_context(self, context: Any) -> None:
        folder = Path(context.artifacts["model"])
        self.about = read_sealed(folder / ABOUT)
        self.model, self.config = load_model(folder / "network", ResNet18, made_by="moe_sweep")
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.provenance = provenance(folder)

    def predict(self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """Probabilities (N, K), a column for each class, of images (N, H, W, C) of whole numbers from 0 to 255,
        or to 65535 where the images were of 16 bits.

        params: `provenance`: adds a JSON column that says where the model comes from. Images of another shape, too many
        of them, and other numbers raise an MlflowException (HTTP 400).
        """
        try:
            image_NHWC = checked_images(model_input, tuple(self.about["shape"]), np.dtype(self.about["dtype"]))
        except ExpectedError as error:
            raise refused(error) from error
        images = Images(image_NHWC, np.zeros(len(image_NHWC), np.int64))
        batches = ResidentImages(images, BATCH, torch.device("cpu")).epoch(0)
        logit_NK = logits(self.model, batches).double() / self.about["temperature"]
        answer = pd.DataFrame(torch.softmax(logit_NK, 1).numpy(), columns=self.config["classes"])
        return answer.assign(provenance=json.dumps(self.provenance)) if (params or {}).get("provenance") else answer


def checked_images(given: Any, shape: tuple[int, ...], kind: np.dtype[Any]) -> Values:
    """Images (N, H, W, C) of bytes or of 16 bits. ExpectedError where they are no such images, or too many."""
    try:
        image_NHWC = np.asarray(given)
    except ValueError as error:
        raise ExpectedError(f"the images are of several shapes: {error}") from error
    most = " x ".join(map(str, shape))
    if image_NHWC.ndim != 4 or image_NHWC.shape[1:] != shape or not 1 <= len(image_NHWC) <= MOST_IMAGES:
        found = " x ".join(map(str, image_NHWC.shape))
        raise ExpectedError(
            f"the input is {found}: expected 1 to {MOST_IMAGES:,} images of {most} (rows, columns, channels)"
        )
    if image_NHWC.dtype.kind not in "iuf" or not np.array_equal(image_NHWC, image_NHWC.astype(kind)):
        raise ExpectedError(f"the images hold something else than whole numbers from 0 to {np.iinfo(kind).max}")
    return image_NHWC.astype(kind)


def provenance(folder: Path) -> dict[str, Any]:
    """Where the classifier comes from."""
    about = read_sealed(folder / ABOUT)
    said = {name: about[name] for name in ("point", "seed", "temperature", "dataset_sha256", "parameters")}
    return {**commit_around(folder), **said, "model_sha256": sha256(folder / "network" / WEIGHTS)}


def reads(at: StudyPaths) -> list[Path]:
    """All points, the results that one is chosen by, and the images, of which a few are the example."""
    return [at.models, at.results, at.raw]


def pack(at: StudyPaths, project: Path, folder: Path) -> Packed:
    """The chosen point, trained with its first seed. ExpectedError where it cannot be loaded."""
    board = scoreboard(read_results(project / at.results, f"dvc repro evaluate@bayes_moe-{at.study}"), GLOSSARY)
    chosen = at.models / chosen_on_validation(board)
    point = PointPredictions(project / chosen)
    shutil.copytree(project / chosen / f"seed_{point.seeds[0]}", folder / "network")
    _, config = load_model(folder / "network", ResNet18, made_by="moe_sweep")
    image_NHWC = read_images(project / at.raw / "test").image_NHWC
    about = {
        "point": point.name,
        "seed": point.seeds[0],
        "temperature": float(point.temperature_R[0]),
        "shape": list(image_NHWC.shape[1:]),
        "dtype": image_NHWC.dtype.name,
        "dataset_sha256": sha256(project / at.raw),
        "parameters": {name: config[name] for name in ("recipe", "point")},
    }
    write_sealed(folder / ABOUT, about)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(image_NHWC.dtype, (-1, *image_NHWC.shape[1:]))]),
        outputs=Schema([ColSpec("double", label) for label in config["classes"]]),
        params=ParamSchema([ParamSpec("provenance", DataType.boolean, False)]),
    )
    return Packed(chosen, signature, image_NHWC[:EXAMPLE_IMAGES], provenance(folder))


set_model(ServedClassifier())
