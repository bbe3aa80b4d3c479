"""Bring the code deps of dvc.yaml in step with the imports, its comments and layout kept."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from workflow.closure import CODE_FOLDERS, Difference, compare, stage_closure
from workflow.dag import Stage


def differences(stages: Iterable[Stage]) -> list[Difference]:
    """The stages whose code deps differ from their imports, or from those of all keys of their group."""
    groups = _groups(stages)
    compared = [compare(stage, group) for group in groups.values() for stage in group]
    return [difference for difference in compared if difference.missing or difference.superfluous]


def rewrite(stages: Iterable[Stage]) -> bool:
    """Correct dvc.yaml; whether it changed.

    In a `foreach` stage a path that holds the key is written with `${key}` where every key imports its own; any other
    file stands there for all keys as soon as one of them imports it.
    """
    path = Path("dvc.yaml")
    before = path.read_text(encoding="utf-8")
    yaml = _layout()
    content = yaml.load(before)
    for name, group in _groups(stages).items():
        entry = content["stages"][name]
        needed = {stage.address.partition("@")[2]: stage_closure(stage.command) for stage in group}
        keyed = "foreach" in entry
        _correct((entry["do"] if keyed else entry)["deps"], _written(needed) if keyed else needed[""])
    after = io.StringIO()
    yaml.dump(content, after)
    if after.getvalue() == before:
        return False
    path.write_text(after.getvalue(), encoding="utf-8")
    return True


def _groups(stages: Iterable[Stage]) -> dict[str, list[Stage]]:
    """The stages that are code of this project, by their name without the key."""
    groups: dict[str, list[Stage]] = {}
    for stage in stages:
        if stage.command.startswith("python -m "):
            groups.setdefault(stage.address.partition("@")[0], []).append(stage)
    return groups


def _written(needed: Mapping[str, set[str]]) -> set[str]:
    """The files that any key imports, with `${key}` where every key imports its own."""
    written: set[str] = set()
    for key, files in needed.items():
        for path in files:
            template = _with_key(path, key)
            of_all = all(template.replace("${key}", other) in of_other for other, of_other in needed.items())
            written.add(template if of_all else path)
    return written


def _with_key(path: str, key: str) -> str:
    """The path with `${key}` for the key: a folder, a file's stem, or the end of one after an underscore."""
    *folders, file = path.split("/")
    stem, dot, suffix = file.partition(".")
    folders = ["${key}" if folder == key else folder for folder in folders]
    if stem == key or stem.endswith(f"_{key}"):
        stem = stem.removesuffix(key) + "${key}"
    return "/".join([*folders, stem + dot + suffix])


def _correct(deps: Any, wanted: set[str]) -> None:
    """Edit a stage's list of deps in place: what it lacks comes in, what is no longer wanted goes; folders stay."""
    listed = [str(dep) for dep in deps if str(dep).split("/")[0] in CODE_FOLDERS]
    folders = [dep for dep in listed if Path(dep).is_dir()]
    for dep in listed:
        inside = {path for path in wanted if path.startswith(f"{dep}/")} if dep in folders else set()
        if dep not in wanted and not inside:
            deps.remove(dep)
    for path in sorted(wanted - set(listed)):
        if not any(path.startswith(f"{folder}/") for folder in folders):
            deps.insert(_place(deps, path), path)


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
