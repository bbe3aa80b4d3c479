"""dvc.lock as one record per stage: dependencies, parameters and results."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.core import paths
from pipeline.core.errors import ExpectedError
from pipeline.core.nested import leaves
from pipeline.params.reading import parse_yaml
from workflow.declared import instances, outs_of

TRACK = "track"  # the mirror's own stage, which is not mirrored: DVC writes its entry after it has run
MOST_TEXT = 6000  # characters of a parameter, MLflow's limit
MALFORMED = "is not a DVC lock file of schema 2.0: run `python -m pipeline repair`, which puts back what a kill has cut"


@dataclass(frozen=True)
class StageRecord:
    """One stage's entry in dvc.lock."""

    address: str  # as DVC prints it: `report`, `evaluate@cfm_vc-kang`
    hash: str  # SHA-256 of the whole entry: command, data, code, parameters and results
    params: Mapping[str, str]  # flattened, by dotted name
    deps: Mapping[str, str]  # path -> hash of its content ("<md5>.dir" for a folder)
    outs: Mapping[str, str]
    metrics: frozenset[str] = frozenset()  # outputs that dvc.yaml declares as metrics: the headlines
    study: str | None = None  # that it belongs to: `cfm_vc/pbmc`


def read_lock(lock: str, dvc_yaml: str, params: str, plan: str, revision: str, whole: bool = True) -> list[StageRecord]:
    """The stages upstream of `track`, by address; all stages if dvc.yaml declares no `track`.

    `lock`, `dvc_yaml`, `params` and `plan` are the texts of the four files at `revision`; the last is empty where an
    older commit has no plan.yaml. Left out are stages that are no longer declared, whose entries DVC keeps, and gates,
    which have no result. ExpectedError if one of the texts is not in DVC's format, or, where it has to be `whole`, the
    lock file lacks a stage upstream of `track`.
    """
    source = f"{paths.DVC_LOCK} of {revision}"
    declared = _stages(parse_yaml(dvc_yaml, f"{paths.DVC_YAML} of {revision}"))
    entries = _stages(parse_yaml(lock, source))
    context = {
        **(parse_yaml(params, f"{paths.PARAMS} of {revision}") or {}),
        **(parse_yaml(plan, f"{paths.PLAN} of {revision}") or {}),
    }
    if declared is None or entries is None:
        raise ExpectedError(f"{source} {MALFORMED}")
    try:
        outs = _declared_outs(declared, context)
        records = [
            replace(_record(address, entry), metrics=_metrics(address, declared, context))
            for address, entry in sorted(entries.items())
            if address in outs
        ]
        if TRACK not in declared:
            return records
        reached, read = _upstream(records, declared[TRACK].get("deps", []))
        missing = [
            address
            for address, made in outs.items()
            if address not in entries and any(_overlap(path, out) for path in read for out in made)
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ExpectedError(f"{source} {MALFORMED}") from error
    if missing and whole:
        raise ExpectedError(
            f"{source} lacks {', '.join(sorted(missing))}, whose results `{TRACK}` waits for: "
            "`python -m pipeline repair` restores what a kill cut off, `dvc repro` runs what has never run"
        )
    return reached


def entry_hashes(lock: str, revision: str) -> set[str]:
    """The hashes of all entries of a dvc.lock."""
    entries = _stages(parse_yaml(lock, f"{paths.DVC_LOCK} of {revision}"))
    return {_entry_hash(entry) for entry in (entries or {}).values()}


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Parameters as MLflow takes them: dotted names, and values as text, lists as JSON."""
    return {mlflow_name(name): _text(value)[:MOST_TEXT] for name, value in leaves(values, prefix)}


def mlflow_name(name: str) -> str:
    """`name` with `_` for characters that MLflow rejects in keys of parameters, metrics and tags."""
    return re.sub(r"[^\w/.\- :]", "_", name)


def _stages(content: Any) -> dict[str, Any] | None:
    stages = content.get("stages") if isinstance(content, dict) else None
    return stages if isinstance(stages, dict) else None


def _declared_outs(declared: Mapping[str, Any], context: Any) -> dict[str, list[str]]:
    """The outputs of each declared stage, gates aside, by address."""
    outs: dict[str, list[str]] = {}
    for name, stage in declared.items():
        if name == TRACK or (stage.get("meta") or {}).get("gate"):
            continue
        for key, item in instances(stage, context).items():
            outs[f"{name}@{key}" if key else name] = outs_of(stage, key, item)
    return outs


def _metrics(address: str, declared: Mapping[str, Any], context: Any) -> frozenset[str]:
    name, _, key = address.partition("@")
    return frozenset(outs_of(declared[name], key, instances(declared[name], context)[key], ("metrics",)))


def _record(address: str, entry: Mapping[str, Any]) -> StageRecord:
    params: dict[str, str] = {}
    study = None
    for file, values in (entry.get("params") or {}).items():
        of_study = Path(file).is_relative_to(paths.SETTINGS)  # its path, cfm_vc/pbmc.json, is that of the run
        study = Path(file).relative_to(paths.SETTINGS).with_suffix("").as_posix() if of_study else study
        prefix = "" if of_study or file == str(paths.PARAMS) else f"{file}:"
        params |= flattened(values, prefix)
    return StageRecord(
        address=address,
        hash=_entry_hash(entry),
        params=params,
        deps=_hashes(entry.get("deps") or []),
        outs=_hashes(entry.get("outs") or []),
        study=study,
    )


def _entry_hash(entry: Any) -> str:
    canonical = json.dumps(entry, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _hashes(items: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {item["path"]: str(item[item.get("hash", "md5")]) for item in items}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _upstream(records: list[StageRecord], deps: Iterable[Any]) -> tuple[list[StageRecord], list[str]]:
    """The records upstream of `deps`, direct or indirect, and all paths that these and `deps` read."""
    wanted = [dep if isinstance(dep, str) else next(iter(dep)) for dep in deps]
    read: list[str] = []
    reached: dict[str, StageRecord] = {}
    while wanted:
        path = wanted.pop()
        read.append(path)
        for record in records:
            if record.address not in reached and any(_overlap(path, out) for out in record.outs):
                reached[record.address] = record
                wanted.extend(record.deps)
    return [record for record in records if record.address in reached], read


def _overlap(one: str, other: str) -> bool:
    """Whether two paths are the same, or one is a folder that contains the other."""
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
