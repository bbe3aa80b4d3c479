"""Why each stage would run or not: the changes that DVC finds."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import ExpectedError
from pipeline.core.nested import leaves
from pipeline.core.wording import did_you_mean
from workflow.closure import is_code
from workflow.dag import Stage, cached_text, current_hashes, without_gates
from workflow.lock import read_lock
from workflow.manifests import FOLDER, Manifest, current_manifests, differences, manifest_path, manifest_text, name_of
from workflow.repair import Repaired

HASH_LETTERS = 8
MOST_NAMED = 8  # stages that one comes after; a merge comes after one of each file
VALUE_LETTERS = 60  # longer values, such as lists of held-out pairs, are truncated


@dataclass(frozen=True)
class Explanation:
    """`runs`: True, False, or None if that depends on whether upstream outputs change."""

    address: str
    runs: bool | None
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        verdict = {True: "would run", False: "up to date", None: "runs if its input changes"}[self.runs]
        return "\n".join([f"{self.address}: {verdict}", *(f"    {reason}" for reason in self.reasons)])


def explain(project: Repaired, only: str | None = None, others: Iterable[str] = ()) -> list[Explanation]:
    """An explanation for each stage in the order of the DAG, gates aside, or for the given one or ones of this name.

    others: names that a wrong one may have meant, beside those of stages.

    ExpectedError: no such stage.
    """
    stages, lock, manifests = without_gates(project.stages), read_lock(), current_manifests()
    status = {address: _without_manifests(entries) for address, entries in project.status.items()}
    addresses = [stage.address for stage in stages]
    names = dict.fromkeys(
        address.partition("@")[0] for address in addresses
    )  # asked for, each stands for its instances
    if only is not None and only not in {*addresses, *names}:
        advice = did_you_mean(only, [*others, *addresses, *names], f"the stages are {', '.join(addresses)}")
        raise ExpectedError(f"no stage {only} in dvc.yaml; {advice}")
    changed_deps = {address: list(_part(entries, "changed deps")) for address, entries in status.items()}
    hashes = current_hashes(changed_deps)
    made = {out for stage in project.stages for out in stage.outs}
    verdicts: dict[str, bool | None] = {}
    explanations = []
    for stage in stages:
        locked, entries = lock.get(stage.address), status.get(stage.address, [])
        reasons = list(_reasons(stage, entries, locked, hashes, made))
        if locked is not None and (name := name_of(stage.command)):
            reasons += _changed_code(name, locked, manifests.get(name, {}))
        before = [address for address in stage.upstream if verdicts[address] is not False]
        if not reasons and not before and entries:
            reasons.append("DVC calls it changed")
        verdicts[stage.address] = True if reasons else (None if before else False)
        if before:
            more = f" and {len(before) - MOST_NAMED:,} more" if len(before) > MOST_NAMED else ""
            reasons.append(f"it comes after {', '.join(before[:MOST_NAMED])}{more}")
        explanations.append(Explanation(stage.address, verdicts[stage.address], tuple(reasons)))
    return [one for one in explanations if only is None or only in (one.address, one.address.partition("@")[0])]


def _reasons(
    stage: Stage, entries: list[Any], locked: dict[str, Any] | None, hashes: Mapping[str, str], made: set[str]
) -> Iterator[str]:
    """What changed since dvc.lock; nothing for a stage that DVC calls clean."""
    if not entries:
        return
    changed_deps = {path: what for path, what in _part(entries, "changed deps").items() if path in stage.deps}
    missing = [path for path, what in changed_deps.items() if what == "deleted" and not overlaps(path, made)]
    yield from (f"input missing, and no stage makes it: {path}" for path in missing)
    if stage.command and locked is None:
        yield "it has never run"
        return
    locked = locked or {}
    if "changed command" in entries:
        yield f"command: {locked.get('cmd')} -> {stage.command}"
    before = {dep["path"]: dep for dep in locked.get("deps", [])}
    for path, what in changed_deps.items():
        if what != "deleted":
            yield _changed_dep(path, before.get(path), hashes.get(path))
    yield from _changed_params(stage, locked)
    for path, what in _part(entries, "changed outs").items():
        yield f"output {'missing' if what in ('deleted', 'not in cache') else 'changed by hand'}: {path}"
    if "always changed" in entries:
        yield "it is declared to run always"


def _changed_code(name: str, locked: dict[str, Any], now: Manifest) -> Iterator[str]:
    """Code files that changed since the last run, whether or not `code` has run since."""
    path, text = str(manifest_path(name)), manifest_text(now)
    digests = [dep["md5"] for dep in locked.get("deps", []) if dep["path"] == path]
    if digests == [hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()]:
        return
    before = cached_text(digests[0]) if digests else None
    if before is None:
        yield "code: changed; the previous version is not in DVC's cache"
    else:
        yield from (f"code changed: {change}" for change in differences(json.loads(before), now))


def _without_manifests(entries: list[Any]) -> list[Any]:
    """A stage's status without its manifest, which describes the code as of the last run of `code`."""
    deps = {path: what for path, what in _part(entries, "changed deps").items() if Path(path).parent != FOLDER}
    others = [entry for entry in entries if not (isinstance(entry, dict) and "changed deps" in entry)]
    return [{"changed deps": deps}, *others] if deps else others


def _part(entries: list[Any], name: str) -> dict[str, Any]:
    for entry in entries:
        if isinstance(entry, dict) and name in entry:
            part: dict[str, Any] = entry[name]
            return part
    return {}


def overlaps(path: str, outs: Iterable[str]) -> bool:
    """Whether one of the outputs is the path, is inside it or contains it."""
    return any(f"{path}/".startswith(f"{out}/") or f"{out}/".startswith(f"{path}/") for out in outs)


def _changed_dep(path: str, before: dict[str, Any] | None, now: str | None) -> str:
    kind = "code" if is_code(path) else "data"
    if before is None:
        return f"{kind} new among its deps: {path}"
    old = before.get(before.get("hash", "md5"), "?")
    return f"{kind} {path}: {_short(str(old))} -> {_short(now or '?')}"


def _changed_params(stage: Stage, locked: dict[str, Any]) -> Iterator[str]:
    """Each single value that differs, such as `vae.latent_intrinsic: 16 -> 8`."""
    old: dict[str, Any] = {}
    for values in locked.get("params", {}).values():
        old |= dict(leaves(values))
    new = dict(leaves(stage.params))
    for key in [*new, *(key for key in old if key not in new)]:
        if key not in old:
            yield f"parameter {key}: new, {_shown(new[key])}"
        elif key not in new:
            yield f"parameter {key}: gone, was {_shown(old[key])}"
        elif old[key] != new[key]:
            yield f"parameter {key}: {_shown(old[key])} -> {_shown(new[key])}"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= VALUE_LETTERS else f"{text[:VALUE_LETTERS]}..."


def _short(digest: str) -> str:
    return digest.removesuffix(".dir")[:HASH_LETTERS]
