"""What the registry asks of a system's `served.py`, which is also what MLflow runs to serve a model of the system."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths


class Packed(NamedTuple):
    """A model that is ready to be served, from the folder that `pack` filled."""

    source: Path  # what a stage wrote: the run of that stage holds the registered model
    signature: Any  # mlflow.models.ModelSignature
    example: Any  # an input that the model answers: a frame or an array
    metadata: dict[str, Any]  # where the model comes from


def refused(error: ExpectedError) -> Exception:
    """The error as MLflow answers it: HTTP 400, and its words."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    answer: Exception = MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE)
    return answer


class ServedSystem(Protocol):
    """The module `served` of a system. It calls `mlflow.models.set_model`, and nothing of it is pickled."""

    __file__: str | None

    @property
    def REQUIREMENTS(self) -> Sequence[str]:
        """The packages that it and all it imports of this project name."""

    def reads(self, at: StudyPaths) -> list[Path]:
        """The results that the model of a study is made of; `at` names the first fold and seed, if there are any."""

    def pack(self, at: StudyPaths, project: Path, folder: Path) -> Packed:
        """Fill `folder` with all that is served. It holds `provenance.json`, which names the commit.

        project: a folder in which those results lie at their places. ExpectedError where the code of today cannot load
        them.
        """
