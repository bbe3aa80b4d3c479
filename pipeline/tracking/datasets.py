"""The data set of a study as an input of MLflow runs: its name, where it comes from, and its hash in DVC."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.core.paths import StudyPaths
from pipeline.tracking.lock import StageRecord

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

CONTEXT = "mlflow.data.context"  # tag: what a run uses the data for


def data_of_studies(plan: Mapping[str, Any], records: Iterable[StageRecord]) -> dict[str, tuple[str, str]]:
    """By study, `cfm_vc/pbmc`: the path of its source, and the hash of what ingest made of it.

    Studies whose data is not in dvc.lock are left out.
    """
    hashes = {path: md5 for record in records for path, md5 in record.outs.items()}
    found, folders = {}, plan.get("folders") or {}
    for key, entry in (plan.get("studies") or {}).items():
        raw = str(StudyPaths(entry["system"], entry["study"]).raw)
        if raw in hashes:
            folder = folders.get(key, entry)  # ingest itself depends on the parts of a folder, not on the folder
            found[f"{entry['system']}/{entry['study']}"] = (str(folder["source"]), hashes[raw])
    return found


def dataset_input(study: str, source: str, digest: str, context: str) -> "DatasetInput":
    """As `mlflow.data` logs a local file; the path is relative to the project, which may move."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    location = json.dumps({"uri": source})
    return DatasetInput(Dataset(study, digest, "local", location), [InputTag(CONTEXT, context)])
