"""The stages of dvc.yaml as plain data: the only module that touches DVC's Python API, which is internal to DVC.

The working directory is the project's root: DVC's addresses are relative to it.
Written against DVC 3.67; tests/workflow/test_dag.py pins what is used of it.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from dvc import rwlock
from dvc.config import Config
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.scm import SCMError

from pipeline.core.errors import ExpectedError
from pipeline.core.git import NO_HISTORY

NICE_STEP = 100  # SLURM's simplest queue gives each job one point less than the one before


@dataclass(frozen=True)
class Stage:
    """One stage of dvc.yaml, resolved: no templates left. Paths are relative to the project's root."""

    address: str  # as `dvc repro` takes it: `report`, `ingest@cfm_vc-pbmc`, or `data/cells.h5ad.dvc`
    command: str  # empty for a file tracked by `dvc add`
    deps: tuple[str, ...]  # without parameter files
    outs: tuple[str, ...]
    params: dict[str, Any]  # current value by key as dvc.yaml lists it; every top-level key where it lists a whole file
    params_listed: tuple[str, ...]  # as dvc.yaml lists them; `params.yaml` where it lists the whole file
    threads: int
    mem_mb: int
    gpu: int
    upstream: tuple[str, ...]  # addresses of the stages whose outs this one reads, sorted
    gate: bool = False  # other stages wait for it, but rerun only if its outputs change


@contextmanager
def _open() -> Iterator[Repo]:
    try:
        with Repo() as repo:
            yield repo
    except SCMError as error:
        raise ExpectedError(f"{error}; {NO_HISTORY}") from error
    except DvcException as error:
        raise ExpectedError(str(error)) from error


def read_stages() -> list[Stage]:
    """All stages, each after the stages it depends on; ties are broken by their order in dvc.yaml."""
    with _open() as repo:
        stages = {stage.addressing: stage for stage in repo.index.stages}
        graph = repo.index.graph
        upstream = {
            address: tuple(sorted(successor.addressing for successor in graph.successors(stage)))
            for address, stage in stages.items()
        }
        order = TopologicalSorter(upstream).static_order()
        return [_plain(stages[address], upstream[address]) for address in order]


def without_gates(stages: list[Stage]) -> list[Stage]:
    """The stages without gates, and without links to them: the DAG as people and Snakemake see it."""
    gates = {stage.address for stage in stages if stage.gate}
    return [
        replace(stage, upstream=tuple(address for address in stage.upstream if address not in gates))
        for stage in stages
        if stage.address not in gates
    ]


def settled(stages: list[Stage], status: Collection[str]) -> list[Stage]:
    """The stages, in the order of the DAG, that are up to date, and so are all that they come after.

    status: addresses of those that are not up to date. A stage below one of these may stay as it is, which DVC finds
    out when its turn comes. Snakemake would not make a stage that is missing above one that is there.
    """
    unsettled = set(status)
    for stage in stages:
        if unsettled.intersection(stage.upstream):
            unsettled.add(stage.address)
    return [stage for stage in stages if stage.address not in unsettled]


def _plain(stage: Any, upstream: tuple[str, ...]) -> Stage:
    meta = stage.meta or {}
    parameter_files = stage.params if stage.cmd else []
    params: dict[str, Any] = {}
    listed: list[str] = []
    for file in parameter_files:
        params |= file.read_params()
        listed += file.params or [file.def_path]
    return Stage(
        address=stage.addressing,
        command=_command(stage.cmd),
        deps=tuple(dep.def_path for dep in stage.deps if dep not in parameter_files),
        outs=tuple(out.def_path for out in stage.outs),
        params=params,
        params_listed=tuple(listed),
        threads=int(meta.get("threads", 1)),
        mem_mb=int(meta.get("mem_mb", 1000)),
        gpu=int(meta.get("gpu", 0)),
        upstream=upstream,
        gate=bool(meta.get("gate", False)),
    )


def _command(command: str | list[str] | None) -> str:
    return "\n".join(command) if isinstance(command, list) else command or ""


def priorities(stages: list[Stage]) -> dict[str, int]:
    """Scheduling priority of each stage by address; higher starts first.

    Stages on the longest chain come first. Among equals, a single stage comes before those of a sweep
    (`moe_sweep@top_1`), whose many short jobs fill gaps better.
    """
    after = {stage.address: 0 for stage in stages}  # stages in the longest chain after each
    for stage in reversed(stages):  # each comes after the stages it depends on
        for address in stage.upstream:
            after[address] = max(after[address], after[stage.address] + 1)
    alike = Counter(_name(stage.address) for stage in stages)
    return {address: len(stages) * (count + 1) - alike[_name(address)] for address, count in after.items()}


def niceness(priority_of: Mapping[str, int]) -> dict[str, int]:
    """How far each stage's job is to stand back in a cluster's queue, which takes jobs in the order of their arrival:
    `NICE_STEP` for every stage by which the longest chain after it is shorter than the longest of all."""
    chains = {address: priority // len(priority_of) for address, priority in priority_of.items()}
    return {address: NICE_STEP * (max(chains.values()) - chain) for address, chain in chains.items()}


def _name(address: str) -> str:
    return address.partition("@")[0]


def has_hardlink_locks() -> bool:
    """Whether DVC is set to lock by hard links (`core.hardlink_lock`)."""
    return bool(Config.from_cwd(validate=False).get("core", {}).get("hardlink_lock"))


def cache_folder() -> Path:
    """Where DVC keeps its cache."""
    with _open() as repo:
        return Path(repo.cache.local.path)


def read_status(at_work: bool = False) -> dict[str, list[Any]]:
    """What `dvc status --json` prints: by address, why each stage that is not up to date is not.

    at_work: jobs run on other machines. DVC, which looks for their processes on this one, would refuse, or take the
    paths that they hold from them, so that they fail at their end.
    """
    with _open() as repo, _ignoring_busy_paths() if at_work else nullcontext():
        status: dict[str, list[Any]] = repo.status()
        return status


@contextmanager
def _ignoring_busy_paths() -> Iterator[None]:
    held, rwlock.rwlock = rwlock.rwlock, lambda *_, **__: nullcontext()
    try:
        yield
    finally:
        rwlock.rwlock = held


def record(address: str) -> None:
    """Have DVC record a stage as just run, with its deps, parameters and outputs as they are."""
    with _open() as repo:
        repo.commit(target=address, force=True)


def cached_text(md5: str) -> str | None:
    """The content of a file in the DVC cache, by hash; None if it is not there."""
    with _open() as repo:
        path = Path(repo.cache.local.oid_to_path(md5))
        return path.read_text(encoding="utf-8") if path.is_file() else None


def current_hashes(paths: dict[str, list[str]]) -> dict[str, str]:
    """Hash in the workspace of each dep in `paths` (by address), as DVC would write it into dvc.lock."""
    hashes: dict[str, str] = {}
    with _open() as repo:
        for stage in repo.index.stages:
            wanted = paths.get(stage.addressing, ())
            for dep in stage.deps:
                if dep.def_path in wanted and dep.def_path not in hashes and dep.exists:
                    hashes[dep.def_path] = dep.get_hash().value
    return hashes
