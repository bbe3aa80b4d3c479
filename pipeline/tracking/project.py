"""Mirroring a state of the project: the working tree, or any commit."""

from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.core import paths
from pipeline.core.errors import ExpectedError
from pipeline.tracking.lock import StageRecord, entry_hashes, read_lock
from pipeline.tracking.mirror import Mirror, StageRun
from pipeline.tracking.registry import register
from pipeline.tracking.revisions import Commit, file_at, find_commit
from pipeline.tracking.store import experiment_id, open_store
from workflow.lock import held


@dataclass(frozen=True)
class Mirrored:
    commit: Commit
    records: list[StageRecord]
    runs: list[StageRun]


def mirror(experiment: str, revision: str | None = None) -> Mirrored:
    """Bring MLflow's `experiment` up to the working tree, or to the commit that `revision` names.

    The source is dvc.lock: the stages upstream of `track`, each as it last ran, whatever params.yaml or the code are
    now. Results of the working tree are filed under HEAD; a stage whose entry is not in HEAD's dvc.lock has the tag
    dirty=true. Once the results are committed, a further call files them under the new commit. The runs are the same
    whether the stage `track` makes them, during `dvc repro`, or the command does, afterwards.

    ExpectedError if the revision, its dvc.lock or the store cannot be read.
    """
    commit = find_commit(revision or "HEAD")
    if revision is None:
        state = "the working tree"
        with held():  # another stage may finish meanwhile, and DVC write its entry
            lock = _working_file(paths.DVC_LOCK)
        declared, params, plan = map(_working_file, (paths.DVC_YAML, paths.PARAMS, paths.PLAN))
    else:
        state = f"{revision} ({commit.hash[:8]})"
        files = (paths.DVC_LOCK, paths.DVC_YAML, paths.PARAMS, paths.PLAN)
        lock, declared, params, plan = (_past_file(commit, path) for path in files)
    if lock is None or declared is None:
        absent = paths.DVC_YAML if declared is None else paths.DVC_LOCK
        advice = "run `dvc repro` first" if revision is None else "name a commit whose results were committed with it"
        raise ExpectedError(f"{state} has no {absent}, hence no results to mirror: {advice}")
    records = read_lock(lock, declared, params or "", plan or "", state)
    committed = entry_hashes(_past_file(commit, paths.DVC_LOCK) or "", f"commit {commit.hash[:8]}")
    with open_store() as client:
        to = Mirror(client, experiment_id(client, experiment), commit)
        parent = to.pipeline_run()
        sweeps = {name: to.sweep_run(name, parent) for name in sorted({r.sweep for r in records if r.sweep})}
        runs = []
        for record in records:
            dirty = record.hash not in committed
            run = to.stage_run(record, parent, sweeps[record.sweep] if record.sweep else parent, dirty)
            unregistered = register(client, experiment, record, run.run_id, commit.hash, dirty)
            runs.append(replace(run, missing=[*run.missing, unregistered]) if unregistered else run)
    return Mirrored(commit, records, runs)


def _working_file(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _past_file(commit: Commit, path: Path) -> str | None:
    content = file_at(commit.hash, str(path))
    return None if content is None else content.decode("utf-8")
