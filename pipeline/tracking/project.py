"""Mirroring a state of the project: the working tree, or any commit."""

from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.core import paths
from pipeline.core.errors import ExpectedError
from pipeline.params.reading import parse_yaml
from pipeline.tracking.datasets import data_of_studies
from pipeline.tracking.lock import StageRecord, entry_hashes, flattened, read_lock
from pipeline.tracking.mirror import Mirror, StageRun
from pipeline.tracking.registry import Registry, first_instances
from pipeline.tracking.revisions import Commit, file_at, find_commit
from pipeline.tracking.store import experiment_id, open_store
from workflow.lock import held


@dataclass(frozen=True)
class Mirrored:
    commit: Commit
    records: list[StageRecord]
    runs: list[StageRun]


def mirror(experiment: str, revision: str | None = None, whole: bool = True) -> Mirrored:
    """Bring MLflow's `experiment` up to the working tree, or to the commit or DVC experiment that `revision` names.

    The source is dvc.lock: the stages upstream of `track`, each as it last ran, whatever params.yaml or the code are
    now. Results of the working tree are filed under HEAD, beside those that were committed there; a stage whose entry
    is not in HEAD's dvc.lock has the tag dirty=true. Once the results are committed, a further call files them under
    the new commit. What an experiment of DVC makes is filed under its name and the commit it is based on. The runs are
    the same whether the stage `track` makes them, during `dvc repro`, or the command does, afterwards.

    ExpectedError if the revision, its dvc.lock or the store cannot be read, or the lock is not `whole` but has to be.
    """
    commit = find_commit(revision)
    if revision is None:
        state = "the working tree"
        with held():  # another stage may finish meanwhile, and DVC write its entry
            lock = _working_file(paths.DVC_LOCK)
        declared, params, plan = map(_working_file, (paths.DVC_YAML, paths.PARAMS, paths.PLAN))
    else:
        state = f"{revision} ({commit.files[:8]})"
        files = (paths.DVC_LOCK, paths.DVC_YAML, paths.PARAMS, paths.PLAN)
        lock, declared, params, plan = (_past_file(commit.files, path) for path in files)
    if lock is None or declared is None:
        absent = paths.DVC_YAML if declared is None else paths.DVC_LOCK
        advice = "run `dvc repro` first" if revision is None else "name a commit whose results were committed with it"
        raise ExpectedError(f"{state} has no {absent}, hence no results to mirror: {advice}")
    records = read_lock(lock, declared, params or "", plan or "", state, whole)
    committed = entry_hashes(_past_file(commit.hash, paths.DVC_LOCK) or "", f"commit {commit.hash[:8]}")
    dirty = frozenset(record.address for record in records if record.hash not in committed)
    if revision is None and committed and dirty and not commit.experiment:
        # Whose headlines are those of its own results. A stage may have been committed that had never run.
        mirror(experiment, commit.hash, whole=False)
    # What is not committed may change, unlike the parameters of a run.
    used = params if commit.experiment else _past_file(commit.hash, paths.PARAMS)
    planned = (parse_yaml(plan or "", f"{paths.PLAN} of {state}") or {}).get("plan") or {}
    with open_store() as client:
        to = Mirror(client, experiment_id(client, experiment), commit, data_of_studies(planned, records))
        top = to.pipeline_run(flattened(parse_yaml(used or "", f"{paths.PARAMS} of {state}") or {}))
        studies = {study: to.study_run(study, top) for study in sorted({r.study for r in records if r.study})}
        runs = {}
        for record in records:
            above = {top: f"{record.study}/", studies[record.study]: ""} if record.study else {top: ""}
            runs[record.address] = to.stage_run(record, above, record.address in dirty)
        to.show_duration(top, records)
        for study, run_id in studies.items():
            to.show_duration(run_id, [record for record in records if record.study == study])
        ids = {address: run.run_id for address, run in runs.items()}
        registry = Registry(client, experiment, commit, records, ids, dirty)
        for address, problem in filter(None, map(registry.register, first_instances(planned))):
            runs[address] = replace(runs[address], missing=[*runs[address].missing, problem])
    return Mirrored(commit, records, list(runs.values()))


def _working_file(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _past_file(commit: str, path: Path) -> str | None:
    content = file_at(commit, str(path))
    return None if content is None else content.decode("utf-8")
