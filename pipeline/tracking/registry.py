"""Trained models in MLflow's registry, in a form that `mlflow models serve` loads: one model per study, one version per
content.

Which results a model is made of and how it answers is what `served.py` in the folder of a system says.
"""

import hashlib
import importlib.metadata
import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pipeline
from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256, write_json
from pipeline.core.paths import StudyPaths
from pipeline.core.provenance import PROVENANCE
from pipeline.tracking.contents import link_folder
from pipeline.tracking.lock import StageRecord
from pipeline.tracking.packed import Packed, ServedSystem
from pipeline.tracking.revisions import Commit

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

MODEL_HASH = "model_hash"  # tag of a version: of what is served
INPUTS = "inputs."  # ... and, followed by a hash, of the results it was made of, by which it is found unpacked
SEEN = "newest_commit_time"  # ... seconds since 1970 of the newest commit that has it
NEWEST = "newest"  # alias


def first_instances(plan: Mapping[str, Any]) -> Iterator[StudyPaths]:
    """The first fold and seed of each study in plan.yaml, or the study of a sweep."""
    for entry in (plan.get("studies") or {}).values():
        system, study = entry["system"], entry["study"]
        runs = (plan.get(system) or {}).get("runs") or {}
        first: Mapping[str, Any] = next((run for run in runs.values() if run["study"] == study), {})
        yield StudyPaths(system, study, first.get("fold"), first.get("seed"))


@dataclass(frozen=True)
class Registry:
    """Registers the models of one commit."""

    client: "MlflowClient"
    experiment: str  # whose name the models' names begin with
    commit: Commit
    records: Sequence[StageRecord]
    runs: Mapping[str, str]  # ids of the stages' runs, by address
    dirty: frozenset[str]  # addresses of stages whose results are not committed

    def register(self, at: StudyPaths) -> tuple[str, str] | None:
        """Register the model of a study if it is trained and has no version yet; the newest one gets the alias.

        Returns the address of a stage and why its result could not be registered, or None. A model is identified by
        its content, so the same weights in a later commit are the same version.
        """
        from pipeline.served import SERVED

        served = SERVED[at.system]
        outs = self._outs(served.reads(at))
        if outs is None:
            return None
        name = f"{self.experiment}-{at.system}-{at.study}".replace("/", "_").replace(":", "_")
        lines = [f"{path}={record.outs[path]}" for path, record in sorted(outs.items())]
        inputs = INPUTS + hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
        # Filtered here, since not every registry filters by tag.
        versions = list(self.client.search_model_versions(f"name = '{name}'", max_results=10_000))
        version = next((version for version in versions if inputs in version.tags), None)
        if version is None:
            with tempfile.TemporaryDirectory() as temporary:
                project, folder = Path(temporary, "project"), Path(temporary, at.system)
                for path, record in outs.items():
                    if not link_folder(path, record.outs[path], self.commit.files, project / path):
                        return record.address, f"the registered model {name}, whose {path} is missing"
                folder.mkdir()
                write_json(folder / PROVENANCE, self._provenance(outs.values()))
                try:
                    packed = served.pack(at, project, folder)
                except ExpectedError as error:
                    return next(iter(outs.values())).address, f"the registered model {name}: {error}"
                model_hash = _content_hash(folder)
                version = next((other for other in versions if other.tags.get(MODEL_HASH) == model_hash), None)
                version = version or self._create(name, model_hash, served, packed, folder)
            self.client.set_model_version_tag(name, version.version, inputs, "")
        self._see(name, version)
        return None

    def _outs(self, reads: Sequence[Path]) -> dict[str, StageRecord] | None:
        """The outs at or below these paths, and who made them; None where there is none for one of the paths."""
        found = {
            path: record for read in reads for record in self.records for path in record.outs if _below(path, read)
        }
        return found if all(any(_below(path, read) for path in found) for read in reads) else None

    def _provenance(self, made_by: Any) -> dict[str, Any]:
        dirty = any(record.address in self.dirty for record in made_by)
        said = {"commit": self.commit.hash, "dirty": dirty}
        return {**said, "experiment": self.commit.experiment} if self.commit.experiment else said

    def _create(self, name: str, model_hash: str, served: ServedSystem, packed: Packed, folder: Path) -> "ModelVersion":
        made_by = next(record for record in self.records if str(packed.source) in record.outs)
        run_id, place = self.runs[made_by.address], f"model_{model_hash[:12]}"
        with tempfile.TemporaryDirectory() as temporary:
            _save(Path(temporary, place), served, packed, folder)
            self.client.log_artifacts(run_id, str(Path(temporary, place)), place)
        if not self.client.search_registered_models(f"name = '{name}'"):
            self.client.create_registered_model(name)
        tags = {MODEL_HASH: model_hash, "commit": self.commit.hash, "stage_hash": made_by.hash}
        source = f"{self.client.get_run(run_id).info.artifact_uri}/{place}"
        return self.client.create_model_version(name, source=source, run_id=run_id, tags=tags)

    def _see(self, name: str, version: "ModelVersion") -> None:
        """Note that the commit has this version, and give the alias to that of the newest commit."""
        if int(version.tags.get(SEEN, 0)) < self.commit.time:
            self.client.set_model_version_tag(name, version.version, SEEN, str(self.commit.time))
            versions = self.client.search_model_versions(f"name = '{name}'", max_results=10_000)
            newest = max(versions, key=lambda other: (int(other.tags.get(SEEN, 0)), int(other.version)))
            self.client.set_registered_model_alias(name, NEWEST, newest.version)


def _below(path: str, read: Path) -> bool:
    return Path(path).is_relative_to(read)


def _content_hash(folder: Path) -> str:
    """Of all that is served but the commit."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / PROVENANCE)
    return hashlib.sha256(json.dumps([[str(f.relative_to(folder)), sha256(f)] for f in files]).encode()).hexdigest()


def _save(path: Path, served: ServedSystem, packed: Packed, folder: Path) -> None:
    import mlflow

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input example.*")  # a signature without inputs accepts it
        mlflow.pyfunc.save_model(
            path=path,
            python_model=str(served.__file__),
            artifacts={"model": str(folder)},
            code_paths=[str(Path(pipeline.__file__).parent)],
            # Given explicitly: MLflow would load the model in another process to find them.
            pip_requirements=[
                f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in served.REQUIREMENTS
            ],
            signature=packed.signature,
            input_example=packed.example,
            metadata=packed.metadata,
        )
