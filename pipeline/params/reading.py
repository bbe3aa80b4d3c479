"""Reading YAML and holding it against a section, with one clear message where it does not fit."""

import difflib
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from pipeline.errors import ExpectedError
from pipeline.params.section import Section

S = TypeVar("S", bound=Section)


class _Loader(yaml.CSafeLoader):
    """Safe YAML in which a key given twice is an error, and 1e-3 is a number (as in YAML 1.2).

    Parsed in C: a dvc.lock of some thousand lines takes seconds in Python.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; a missing or malformed file is an ExpectedError."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError as error:
        raise ExpectedError(f"{path} not found: run this from the project's root") from error
    except UnicodeDecodeError as error:
        raise ExpectedError(f"{path} is not valid YAML: {error}") from error


def parse_yaml(text: str, source: str) -> Any:
    """The content of YAML text that came from `source`; malformed text is an ExpectedError."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a safe loader
    except yaml.YAMLError as error:
        raise ExpectedError(f"{source} is not valid YAML: {error}") from error


def validated(schema: type[S], content: Any, source: str) -> S:
    """`content` as `schema`, or an ExpectedError that names each key, the value found and what is allowed."""
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        problems = [_describe(problem, schema) for problem in error.errors()]
        raise ExpectedError(f"{source} has {len(problems)} problem(s):\n" + "\n".join(problems)) from error


def select_section(params: Section, section: str) -> Any:
    """The section with this dotted name, such as `vae` or `ingest.perturbation`."""
    selected: Any = params
    for name in section.split("."):
        selected = getattr(selected, name)
    return selected


def _describe(problem: Any, schema: type[Section]) -> str:
    location = list(problem["loc"])
    key = ".".join(str(part) for part in location)
    if problem["type"] == "extra_forbidden":
        known = sorted(_known_keys(schema, location[:-1]))
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        advice = f"did you mean {close[0]!r}?" if close else f"known keys here: {', '.join(known)}"
        return f"  {key}: unknown key; {advice}"
    if problem["type"] == "missing":
        return f"  {key}: missing; add it"
    message = problem["msg"].removeprefix("Value error, ")
    if isinstance(problem["input"], dict):  # a rule over several keys: printing them all would bury the message
        return f"  {key or 'the whole file'}: {message}"
    return f"  {key or 'the whole file'} = {problem['input']!r}: {message}"


def _known_keys(schema: type[Section], location: list[Any]) -> set[str]:
    current: Any = schema
    for part in location:
        # What is neither names an entry of a list or of a dictionary of sections.
        if part in current.model_fields:
            current = _section_of(current.model_fields[part].annotation)
    return set(current.model_fields)


def _section_of(annotation: Any) -> Any:
    """The Section class inside an annotation such as `list[HeldOutPair]`."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    inner = (_section_of(argument) for argument in getattr(annotation, "__args__", ()))
    return next((found for found in inner if found is not None), None)
