"""Reading YAML and validating it as a section, with one clear message where it does not fit."""

import re
import reprlib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import did_you_mean
from pipeline.params.section import FORMS, Section

S = TypeVar("S", bound=Section)

# What a file may hold before it is parsed: the parser recurses in C, and a few aliases of
# aliases stand for a billion values. The dvc.lock of this project has 2 % of these characters and values.
MOST_CHARACTERS = 16 * 2**20
MOST_VALUES = 500_000  # with aliases written out
DEEPEST = 100
LONGEST_VALUE = 10_000  # characters
_PROBLEMS_SHOWN = 20

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 200
_short.maxlist = _short.maxdict = 10


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
    """The content of a YAML file; a missing, malformed or oversized file is an ExpectedError."""
    try:
        if path.stat().st_size > MOST_CHARACTERS:
            raise ExpectedError(f"{path} is larger than {MOST_CHARACTERS:,} bytes: that is no file of parameters")
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError as error:
        elsewhere = "" if Path("dvc.yaml").is_file() else ": run this from the project's root"
        raise ExpectedError(f"{path} not found{elsewhere}") from error
    except UnicodeDecodeError as error:
        raise ExpectedError(f"{path} is not valid YAML: {error}") from error


def parse_yaml(text: str, source: str) -> Any:
    """The content of YAML text that came from `source`; malformed or oversized text is an ExpectedError."""
    try:
        _check_extent(text, source)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a safe loader
    except (yaml.YAMLError, TypeError, ValueError) as error:  # such as a list for a key, or the 31st of February
        said = str(error).replace('"<unicode string>"', source)
        raise ExpectedError(f"{source} is not valid YAML: {said}") from error


def _check_extent(text: str, source: str) -> None:
    """ExpectedError where the text nests too deeply or stands for too much; the events are read without recursion."""
    inside = [0]  # values in each collection that is open
    anchors: list[str | None] = []  # of each
    extent_of: dict[str, int] = {}  # values that each anchor stands for
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            inside.append(1)
            anchors.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            extent, anchor = inside.pop(), anchors.pop()
            inside[-1] += extent
            if anchor is not None:
                extent_of[anchor] = extent
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in anchors:
                raise ExpectedError(f"{source}: the alias *{event.anchor} stands inside what it stands for")
            inside[-1] += extent_of.get(str(event.anchor), 1)
        elif isinstance(event, yaml.ScalarEvent):
            inside[-1] += 1
            if len(event.value) > LONGEST_VALUE:
                raise ExpectedError(
                    f"{source} holds a value of {len(event.value):,} characters: at most {LONGEST_VALUE:,}"
                )
            if event.anchor is not None:
                extent_of[event.anchor] = 1
        if len(inside) > DEEPEST:
            raise ExpectedError(f"{source} is nested more than {DEEPEST} deep")
        if inside[-1] > MOST_VALUES:
            raise ExpectedError(
                f"{source} holds more than {MOST_VALUES:,} values, each alias counted as all that it stands for"
            )


def validated(schema: type[S], content: Any, source: str) -> S:
    """`content` as `schema`, or an ExpectedError that names each key, the value found and what is allowed."""
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        found = _told_once(error.errors(include_url=False))
        lines = [_describe(problem, schema) for problem in found[:_PROBLEMS_SHOWN]]
        if len(found) > len(lines):
            lines.append(f"  and {len(found) - len(lines):,} more")
        raise ExpectedError(f"{source} has {len(found)} problem(s):\n" + "\n".join(lines)) from error


def _told_once(problems: list[Any]) -> list[Any]:
    """Without those of a study that repeat one of its system's settings, which it has taken over."""
    by_place = {tuple(problem["loc"]): problem for problem in problems}

    def repeats(problem: Any) -> bool:
        system, *inside = problem["loc"] or [None]
        if inside[:1] != ["studies"]:
            return False
        above = by_place.get((system, *inside[2:]))
        return above is not None and (above["msg"], above["input"]) == (problem["msg"], problem["input"])

    return [problem for problem in problems if not repeats(problem)]


def select_section(params: Section, section: str) -> Any:
    """The section with this dotted name, such as `vae` or `cfm_vc.ingest`."""
    selected: Any = params
    for name in section.split("."):
        selected = getattr(selected, name)
    return selected


def _describe(problem: Any, schema: type[Section]) -> str:
    # Without the tags of `by_form`, and pydantic's mark of what is wrong with a key itself.
    location = [part for part in problem["loc"] if not str(part).startswith("(") and part != "[key]"]
    key = ".".join(str(part) for part in location)
    if problem["type"] == "extra_forbidden":
        known = sorted(_known_keys(schema, location[:-1]))
        advice = did_you_mean(str(location[-1]), known, f"known keys here: {', '.join(known)}")
        return f"  {key}: unknown key; {advice}"
    if problem["type"] == "missing":
        return f"  {key}: missing; add it"
    message = _plainly(problem)
    if problem["loc"][-1:] == ("[key]",):
        return f"  {'.'.join(map(str, location[:-1]))}: the name {shown(problem['input'])}: {message}"
    if isinstance(problem["input"], dict):  # a rule over several keys: printing them all would bury the message
        return f"  {key}: {message}" if key else f"  {message}"
    return f"  {key or 'the whole file'} = {shown(problem['input'])}: {message}"


def _plainly(problem: Any) -> str:
    """What is wrong, in words that do not take knowing pydantic."""
    context = problem.get("ctx", {})
    if problem["type"] == "too_short":
        return f"expected at least {context['min_length']}"
    if problem["type"] == "list_type":
        return "expected a list, in square brackets"
    if problem["type"] == "string_pattern_mismatch":
        return FORMS.get(context["pattern"], str(problem["msg"]))
    return str(problem["msg"].removeprefix("Value error, "))


def shown(value: Any) -> str:
    """A value as it is printed in a message: all of it only where it is short."""
    if isinstance(value, int) and value.bit_length() > 128:  # Python refuses to print a number of 4,301 digits
        return f"a whole number of {value.bit_length():,} bits"
    return _short.repr(value)


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
