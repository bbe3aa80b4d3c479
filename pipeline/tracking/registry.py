"""Trained models in MLflow's registry, in a form that `mlflow models serve` loads; one version per model."""

import hashlib
import importlib.metadata
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pipeline
from pipeline.core.errors import ExpectedError
from pipeline.core.files import write_json
from pipeline.tracking.contents import link_folder
from pipeline.tracking.lock import StageRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_HASH = "model_hash"
REQUIREMENTS = ("h5py", "mlflow", "numpy", "pandas", "pyarrow", "pydantic", "pyyaml", "safetensors", "torch")


@dataclass(frozen=True)
class Served:
    """How the model of one stage is served."""

    name: str
    parts: Mapping[str, str]  # its inputs: name -> what the path of an output or a dep of the stage holds
    # From a folder with those folders and the state of the commit (`commit`, `dirty`) to arguments of `save_model`.
    pack: Callable[[Path, Mapping[str, Any]], dict[str, Any]]


def _pack_cfm_vc(folder: Path, commit: Mapping[str, Any]) -> dict[str, Any]:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    from pipeline.cfm_vc import served as served_cfm_vc
    from pipeline.cfm_vc.trained import PROVENANCE, CfmVc
    from pipeline.data.store import open_store
    from pipeline.tracking.controls import sample_controls, save_controls

    write_json(folder / PROVENANCE, commit)
    # Weights that the current code cannot load are not served.
    provenance = CfmVc.load(folder).provenance
    store = open_store(folder / "store")
    save_controls(folder / "served" / "controls", sample_controls(store))
    write_json(folder / "served" / PROVENANCE, provenance)
    for name in ("vae", "flow"):
        shutil.copytree(folder / name, folder / "served" / name)  # MLflow rejects links to other folders
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
    artifacts = {path.name: str(path) for path in (folder / "served").iterdir()}
    return {
        "python_model": served_cfm_vc.__file__,
        "artifacts": artifacts,
        "signature": signature,
        "metadata": provenance,
    }


SERVED = {
    "flow_train": Served(
        name="cfm_vc",
        parts={"vae": r"models/.*/vae", "flow": r"models/.*/flow", "store": r"data/processed/.*"},
        pack=_pack_cfm_vc,
    )
}


def register(
    client: "MlflowClient", experiment: str, record: StageRecord, run_id: str, commit: str, dirty: bool
) -> str | None:
    """Register the stage's model if it is served and not yet registered; returns why it could not be, or None.

    dirty: whether the result is uncommitted. A model is identified by its content, so the same weights in a later
    commit are the same version.
    """
    stage, _, instance = record.address.partition("@")
    served = SERVED.get(stage)
    known = {**record.deps, **record.outs}
    if served is None:
        return None
    folders = {part: path for part, form in served.parts.items() for path in known if re.fullmatch(form, path)}
    if set(folders) != set(served.parts):
        return None
    name = f"{experiment}-{served.name}-{instance}".replace("/", "_").replace(":", "_")
    contents = [f"{part}={known[path]}" for part, path in sorted(folders.items())]
    model_hash = hashlib.sha256("\n".join(contents).encode()).hexdigest()
    if _version(client, name, model_hash):
        return None
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for part, path in folders.items():
            if not link_folder(path, known[path], commit, folder / part):
                return f"the registered model {name}, whose {path} is missing"
        try:
            packed = served.pack(folder, {"commit": commit, "dirty": dirty})
        except ExpectedError as error:
            return f"the registered model {name}: {error}"
        _save(folder / "model", packed)
        client.log_artifacts(run_id, str(folder / "model"), "model")
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    tags = {MODEL_HASH: model_hash, "commit": commit, "stage_hash": record.hash}
    source = f"{client.get_run(run_id).info.artifact_uri}/model"
    client.create_model_version(name, source=source, run_id=run_id, tags=tags)
    return None


def _version(client: "MlflowClient", name: str, model_hash: str) -> bool:
    # Filtered here, since not every registry filters by tag.
    versions = client.search_model_versions(f"name = '{name}'", max_results=10_000)
    return any(version.tags.get(MODEL_HASH) == model_hash for version in versions)


def _save(path: Path, packed: Mapping[str, Any]) -> None:
    import mlflow

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input example.*")  # the signature replaces it
        mlflow.pyfunc.save_model(
            path=path,
            code_paths=[str(Path(pipeline.__file__).parent)],
            # Given explicitly: MLflow would load the model in another process to find them.
            pip_requirements=[f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in REQUIREMENTS],
            **packed,
        )
