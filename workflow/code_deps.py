"""Bring the code deps of dvc.yaml in step with the imports, its comments and layout kept."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from workflow.closure import CODE_FOLDERS, Difference, compare
from workflow.dag import Stage


def differences(stages: Iterable[Stage]) -> list[Difference]:
    """The stages whose code deps differ from their imports."""
    compared = [compare(stage) for stage in stages if stage.command.startswith("python -m ")]
    return [difference for difference in compared if difference.missing or difference.superfluous]


def rewrite(stages: Iterable[Stage]) -> bool:
    """Correct dvc.yaml; whether it changed.

    In a `foreach` stage a path that holds the key is written with `${key}`; a file that only some of the keys need
    cannot be written there (DVC does not interpolate lists), so it is left for `differences` to report.
    """
    path = Path("dvc.yaml")
    before = path.read_text(encoding="utf-8")
    yaml = _layout()
    content = yaml.load(before)
    by_name: dict[str, list[Difference]] = {}
    for difference in differences(stages):
        by_name.setdefault(difference.address.split("@")[0], []).append(difference)
    for name, found in by_name.items():
        entry = content["stages"][name]
        keys = list(entry["foreach"]) if "foreach" in entry else []
        _correct((entry["do"] if keys else entry)["deps"], found, keys)
    after = io.StringIO()
    yaml.dump(content, after)
    if after.getvalue() == before:
        return False
    path.write_text(after.getvalue(), encoding="utf-8")
    return True


def _correct(deps: Any, found: list[Difference], keys: list[str]) -> None:
    """Edit a stage's list of deps in place: what all its keys lack comes in, what none of them needs goes."""
    count = max(len(keys), 1)
    for path in _shared(((d.address, d.superfluous) for d in found), count):
        if path in deps:
            deps.remove(path)
    for path in sorted(_shared(((d.address, d.missing) for d in found), count)):
        if path not in deps:
            deps.insert(_place(deps, path), path)


def _shared(paths: Iterable[tuple[str, tuple[str, ...]]], count: int) -> set[str]:
    """Paths, written with `${key}`, that occur for all `count` keys."""
    occurrences: dict[str, int] = {}
    for address, listed in paths:
        key = address.partition("@")[2]
        for path in {_with_key(path, key) for path in listed}:
            occurrences[path] = occurrences.get(path, 0) + 1
    return {path for path, times in occurrences.items() if times == count}


def _with_key(path: str, key: str) -> str:
    """The path with the key, where it is a folder or a file's stem, replaced by `${key}`."""
    if not key:
        return path
    parts = path.split("/")
    return "/".join(part.replace(key, "${key}", 1) if part.split(".")[0] == key else part for part in parts)


def _place(deps: Any, path: str) -> int:
    """Where to insert: before the first code dep that sorts after it, at the end if there is none."""
    for index, dep in enumerate(deps):
        if str(dep).split("/")[0] in CODE_FOLDERS and str(dep) > path:
            return index
    return len(deps)


def _layout() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml
