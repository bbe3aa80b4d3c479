"""One MLflow run per commit, nested in it one per study, and in these one per stage: created or completed, never
duplicated.

A run's key is its commit, the DVC experiment on top of it if there is one, and the hash of the stage's entry in
dvc.lock, so the key stands for all that the run shows and a finished run never has to change. What could not be found
(such as a report whose content is in no cache here) is named in a tag, and added by a later call that finds it.
"""

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from pipeline.core import paths
from pipeline.tracking.contents import copy_content, files_of
from pipeline.tracking.datasets import dataset_input
from pipeline.tracking.lock import StageRecord, mlflow_name
from pipeline.tracking.points import Point, metric_points
from pipeline.tracking.revisions import Commit
from workflow.closure import is_code
from workflow.manifests import FOLDER as MANIFESTS
from workflow.times import read_times

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

KEY = "key"
MISSING = "missing"  # tag: files of the run that were found nowhere
NOTHING = "none"
TIMES = "times"  # tag: whether start and end are those of the stage; on another machine they are not known
MEASURED, OF_THE_COMMIT = "measured", "of the commit"
PARENT = "mlflow.parentRunId"
SHOWN_SUFFIXES = {".html", ".svg", ".png", ".csv", ".json"}  # of results under reports/; data and weights stay in DVC

# MLflow's limits
VALUES_AT_ONCE = 100
POINTS_AT_ONCE = 1000
KEY_LENGTH = 250
TAG_LENGTH = 8000


@dataclass(frozen=True)
class StageRun:
    address: str
    run_id: str
    missing: list[str]  # files found neither in the working tree nor in git nor in the DVC cache


@dataclass(frozen=True)
class Mirror:
    """Writes the runs of one commit or experiment into one experiment of MLflow."""

    client: "MlflowClient"
    experiment: str  # its id
    commit: Commit
    data: Mapping[str, tuple[str, str]]  # source and hash of each study's data set

    def pipeline_run(self, params: Mapping[str, str]) -> str:
        """Id of the commit's run, the parent of its studies; params: all of params.yaml, flattened."""
        return self._group(self.commit.key, self.commit.name, {"stage": "pipeline"}, params, None)

    def study_run(self, study: str, parent: str) -> str:
        """Id of the run that groups the stages of a study, nested under `parent`."""
        tags = {"stage": study, PARENT: parent}
        return self._group(f"{self.commit.key}:{study}", study, tags, {}, study)

    def _group(self, key: str, name: str, tags: Mapping[str, str], params: Mapping[str, str], study: str | None) -> str:
        run = self._upsert(key, name[:KEY_LENGTH], {**tags, **self._commit_tags()}, self._commit_time())
        if run.info.status != "FINISHED":
            self._log(run, params, [], study, "study")
            self._finish(run, run.info.start_time)
        return str(run.info.run_id)

    def show_duration(self, run_id: str, records: Iterable[StageRecord]) -> None:
        """Have the run of a commit or study end as long after its start as these stages took, one after another."""
        spans = filter(None, (read_times(record.address, record.outs) for record in records))
        run = self.client.get_run(run_id)
        ended = run.info.start_time + sum(span.end - span.start for span in spans) // 10**6
        if run.info.end_time != ended:
            self._finish(run, ended)

    def stage_run(self, record: StageRecord, parents: Mapping[str, str], dirty: bool) -> StageRun:
        """Make or complete the run of one stage; a complete one is left alone.

        parents: ids of the runs above it, the nearest last, and what the names of headlines begin with there; dirty:
        whether the entry is absent from the commit's dvc.lock. Headlines are those of committed results, or of an
        experiment.
        """
        span = read_times(record.address, record.outs)
        started, ended = (self._commit_time(),) * 2 if span is None else (span.start // 10**6, span.end // 10**6)
        tags = {
            **self._commit_tags(),
            **_stage_tags(record),
            PARENT: list(parents)[-1],
            "dirty": str(dirty).lower(),
        }
        key = f"{self.commit.key}:{record.hash}"
        run = self._upsert(key, record.address, tags, started, {TIMES: OF_THE_COMMIT if span is None else MEASURED})
        finished = run.info.status == "FINISHED"
        if finished and run.data.tags.get(MISSING) == NOTHING:
            return StageRun(record.address, run.info.run_id, [])
        files, lost = _shown_files(record, self.commit.files)
        # In an unfinished run, a file may be half written.
        shown = self._artifacts(run.info.run_id) if finished else set()
        with tempfile.TemporaryDirectory() as folder:
            added = [
                path
                for path, md5 in files.items()
                if path not in shown and copy_content(path, md5, self.commit.files, Path(folder) / path)
            ]
            if added or not finished:
                points = list(metric_points(Path(folder), added, files, record.metrics))
                if self.commit.experiment or not dirty:  # first, since a finished stage is not visited again
                    for parent, prefix in parents.items():
                        headlines = [replace(point, name=prefix + point.name) for point in points if point.headline]
                        self._log_points(self.client.get_run(parent), headlines)
                self._log(run, record.params, points, record.study, record.address.partition("@")[0])
            if added:
                self.client.log_artifacts(run.info.run_id, str(Path(folder) / paths.REPORTS))
        missing = sorted(set(files) - shown - set(added)) + lost
        self._set_tags(run, {MISSING: ", ".join(missing)[:TAG_LENGTH] or NOTHING})
        if added or not finished:
            measured = run.data.tags.get(TIMES) == MEASURED
            self._finish(run, ended if measured and span is not None else run.info.start_time)
        return StageRun(record.address, run.info.run_id, missing)

    def _upsert(
        self,
        key: str,
        name: str,
        tags: Mapping[str, str],
        started: int,
        first: Mapping[str, str] = MappingProxyType({}),
    ) -> "Run":
        """The run with this key and these tags; created with this start time (ms since 1970) and the tags `first` if
        there is none."""
        found = self.client.search_runs([self.experiment], filter_string=f"tags.{KEY} = '{key}'", max_results=1)
        if not found:
            made = {**tags, **first, KEY: key}
            return self.client.create_run(self.experiment, start_time=started, tags=made, run_name=name)
        self._set_tags(found[0], tags)
        return found[0]

    def _set_tags(self, run: "Run", tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        changed = [RunTag(name, value) for name, value in tags.items() if run.data.tags.get(name) != value]
        for start in range(0, len(changed), VALUES_AT_ONCE):
            self.client.log_batch(run.info.run_id, tags=changed[start : start + VALUES_AT_ONCE])

    def _log(self, run: "Run", params: Mapping[str, str], points: list[Point], study: str | None, context: str) -> None:
        from mlflow.entities import Param

        self.client.update_run(run.info.run_id, status="RUNNING")
        values = [Param(name, value) for name, value in params.items()]
        for start in range(0, len(values), VALUES_AT_ONCE):
            self.client.log_batch(run.info.run_id, params=values[start : start + VALUES_AT_ONCE])
        if study is not None and study in self.data:
            self.client.log_inputs(run.info.run_id, [dataset_input(study, *self.data[study], context)])
        self._log_points(run, points)

    def _log_points(self, run: "Run", points: list[Point]) -> None:
        from mlflow.entities import Metric

        # Points have the run's start time, so that writing one twice gives no duplicate.
        metrics = [Metric(mlflow_name(p.name), p.value, run.info.start_time, p.step) for p in points]
        for start in range(0, len(metrics), POINTS_AT_ONCE):
            self.client.log_batch(run.info.run_id, metrics=metrics[start : start + POINTS_AT_ONCE])

    def _finish(self, run: "Run", ended: int) -> None:
        self.client.set_terminated(run.info.run_id, end_time=ended)

    def _artifacts(self, run_id: str, folder: str | None = None) -> set[str]:
        """The files of a run, as paths of the project."""
        found: set[str] = set()
        for item in self.client.list_artifacts(run_id, folder):
            found |= self._artifacts(run_id, item.path) if item.is_dir else {str(paths.REPORTS / item.path)}
        return found

    def _commit_time(self) -> int:
        return self.commit.time * 1000

    def _commit_tags(self) -> dict[str, str]:
        tags = {"commit": self.commit.hash, "mlflow.source.git.commit": self.commit.hash}
        return {**tags, "experiment": self.commit.experiment} if self.commit.experiment else tags


def _stage_tags(record: StageRecord) -> dict[str, str]:
    """Hashes of inputs and outputs, and of the code manifest (absent in old commits)."""
    code = [md5 for path, md5 in record.deps.items() if Path(path).parent == MANIFESTS]
    data = {path: md5 for path, md5 in record.deps.items() if Path(path).parent != MANIFESTS and not is_code(path)}
    hashes = [(f"deps:{path}", md5) for path, md5 in data.items()]
    hashes += [(f"outs:{path}", md5) for path, md5 in record.outs.items()]
    return {
        "stage": record.address,
        **({"code": code[0]} if code else {}),
        "stage_hash": record.hash,
        **{mlflow_name(name)[:KEY_LENGTH]: md5 for name, md5 in hashes},
    }


def _shown_files(record: StageRecord, commit: str) -> tuple[dict[str, str], list[str]]:
    """The stage's results that a run shows, with their MD5; and the folders whose list of files is lost."""
    listed = {
        path: files_of(path, md5, commit)
        for path, md5 in record.outs.items()
        # A chapter is shown as a part of the page.
        if Path(path).is_relative_to(paths.REPORTS) and not Path(path).is_relative_to(paths.CHAPTERS)
    }
    files = {file: md5 for found in listed.values() if found is not None for file, md5 in found.items()}
    shown = {file: md5 for file, md5 in files.items() if Path(file).suffix in SHOWN_SUFFIXES}
    return shown, [f"{path}/" for path, found in listed.items() if found is None]
