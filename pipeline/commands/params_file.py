"""Studies written into params.yaml: lines are added, and no other line of the file changes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from pipeline.core import paths
from pipeline.core.errors import ExpectedError
from pipeline.core.files import write_text
from pipeline.params.reading import parse_yaml, validated
from pipeline.plan import files_of_studies, folds_of_studies, refresh_plan
from pipeline.registry import Params


@dataclass(frozen=True)
class Written:
    """A study as it stands in a file."""

    system: str
    name: str
    text: str  # its lines, not indented, with the comments above its name


def read_params_text() -> str:
    """The file as it is; ExpectedError where it is missing or no YAML."""
    if not paths.PARAMS.is_file():
        raise ExpectedError(f"no {paths.PARAMS} here: run this from the root of a project")
    text = paths.PARAMS.read_text(encoding="utf-8")
    content = parse_yaml(text, str(paths.PARAMS))
    if not isinstance(content, dict):
        raise ExpectedError(f"{paths.PARAMS} holds no sections: expected one per system")
    return text


def save(text: str) -> None:
    """Write params.yaml and have plan.yaml fit it; ExpectedError, before anything is written, where it is not valid or
    the data of a study cannot be read."""
    params = validated(Params, parse_yaml(text, str(paths.PARAMS)), str(paths.PARAMS))
    folds, files = folds_of_studies(params), files_of_studies(params)
    write_text(paths.PARAMS, text)
    refresh_plan(params, folds, files)


def with_studies(text: str, studies: Iterable[Written]) -> str:
    """The text with these studies at the end of their systems' studies. ExpectedError where one of this name is there,
    or where the text is written so that none can be added."""
    for study in studies:
        text = _with_study(text, study)
    return text


def studies_of(content: Any, system: str) -> Mapping[str, Any]:
    """The studies of a system in the content of a file."""
    section = content.get(system) if isinstance(content, dict) else None
    found = section.get("studies") if isinstance(section, dict) else None
    return found if isinstance(found, dict) else {}


def written_studies(text: str, source: str) -> Iterator[Written]:
    """The studies of a file like params.yaml, with their comments. ExpectedError where it holds anything else."""
    root = yaml.compose(text, Loader=yaml.CSafeLoader)
    lines = text.splitlines()
    for system, section in _entries(root, source):
        if system.value not in Params.model_fields:
            raise ExpectedError(f"{source}: {system.value!r} is no system; there are {', '.join(_systems())}")
        for key, studies in _entries(section, f"{source}, {system.value}"):
            if key.value != "studies":
                raise ExpectedError(
                    f"{source}: {system.value}.{key.value} would be a setting of all studies: expected `studies` only, "
                    "each with the settings that differ"
                )
            for name, study in _entries(studies, f"{source}, {system.value}.studies"):
                yield Written(
                    system.value,
                    name.value,
                    _text_of(lines, text, name, study, bool(getattr(studies, "flow_style", False))),
                )


def _with_study(text: str, study: Written) -> str:
    before = parse_yaml(text, str(paths.PARAMS)) or {}
    if study.name in studies_of(before, study.system):
        raise ExpectedError(f"{paths.PARAMS} has a study {study.system}.studies.{study.name} already")
    lines = text.splitlines()
    root = yaml.compose(text, Loader=yaml.CSafeLoader)
    section = _value(root, study.system)
    studies = _value(section, "studies")
    if section is None or not isinstance(section, yaml.MappingNode):
        if study.system in before:
            raise ExpectedError(f"{paths.PARAMS}: write {study.system} as a section, or leave it out")
        added = [f"{study.system}:", "  studies:", *_indented(study.text, 4)]
        lines += ["", *added]
    elif section.flow_style or (studies is not None and getattr(studies, "flow_style", False) and studies.value):
        raise ExpectedError(f"{paths.PARAMS}: {study.system}.studies is written in braces: write it as indented lines")
    elif studies is not None and isinstance(studies, yaml.MappingNode) and studies.value:
        names = studies.value[0][0].start_mark.column
        at = _after(lines, _last_line(studies), names)
        lines[at:at] = _indented(study.text, names)
    else:
        margin = section.value[0][0].start_mark.column
        if studies is None:
            at = section.value[0][0].start_mark.line
            lines[at:at] = [f"{' ' * margin}studies:", *_indented(study.text, margin + 2), ""]
        else:  # empty: {} or nothing
            at = studies.start_mark.line
            lines[at] = lines[at].replace("{}", "", 1).rstrip()
            lines[at + 1 : at + 1] = _indented(study.text, margin + 2)
    changed = "\n".join(lines) + "\n"
    wanted = {**before, study.system: {**(before.get(study.system) or {})}}
    own = parse_yaml(study.text, study.name)
    wanted[study.system]["studies"] = {**studies_of(before, study.system), **own}
    if parse_yaml(changed, str(paths.PARAMS)) != wanted:
        raise ExpectedError(
            f"{paths.PARAMS} is written so that {study.system}.studies.{study.name} cannot be added to it: add these "
            f"lines by hand\n{study.text}"
        )
    return changed


def _text_of(lines: list[str], text: str, name: yaml.Node, study: yaml.Node, in_flow: bool) -> str:
    """The lines of a study and the comments right above it, without their indentation."""
    if in_flow:
        return f"{name.value}: {text[study.start_mark.index : study.end_mark.index]}\n"
    margin, first = name.start_mark.column, name.start_mark.line
    while first and lines[first - 1].strip().startswith("#") and _margin(lines[first - 1]) == margin:
        first -= 1
    last = _after(lines, _last_line(study), margin)
    return "\n".join(line[margin:].rstrip() for line in lines[first:last]) + "\n"


def _after(lines: list[str], last: int, margin: int) -> int:
    """The line after a study's last one, and after the comments that are indented as its settings are."""
    after = last + 1
    while after < len(lines) and lines[after].strip().startswith("#") and _margin(lines[after]) > margin:
        after += 1
    return after


def _last_line(node: yaml.Node) -> int:
    """The last line that a value takes: a block ends where the next token begins."""
    if isinstance(node, yaml.MappingNode | yaml.SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    end: int = node.end_mark.line
    # A text in lines of its own (|, >), too, ends where the next token begins.
    return end - 1 if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">") else end


def _margin(line: str) -> int:
    return len(line) - len(line.lstrip())


def _indented(text: str, by: int) -> list[str]:
    return [f"{' ' * by}{line}" if line else "" for line in text.splitlines()]


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _entries(node: yaml.Node | None, where: str) -> list[tuple[yaml.Node, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode) or any(not isinstance(key, yaml.ScalarNode) for key, _ in node.value):
        raise ExpectedError(f"{where}: expected a mapping, as in `cfm_vc: {{studies: {{kang: {{...}}}}}}`")
    return list(node.value)


def _systems() -> list[str]:
    return [name for name, field in Params.model_fields.items() if "studies" in _fields(field.annotation)]


def _fields(annotation: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = getattr(annotation, "model_fields", {})
    return found
