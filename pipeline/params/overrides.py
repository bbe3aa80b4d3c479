"""A section of params.yaml with some of its values given on the command line, one option per field.

The options are made from the section's fields, so a new field has its option at once: `learning_rate` is
`--learning-rate`, and `joint` inside `modes` is `--modes-joint`.
"""

import argparse
import copy
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, get_args

from pydantic import TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo

from pipeline.core.errors import ExpectedError
from pipeline.params.allowed import STRICT, choices_of, expected_of
from pipeline.params.reading import parse_yaml, validated
from pipeline.params.section import Section

S = TypeVar("S", bound=Section)


@dataclass(frozen=True)
class Alias:
    """Another name for a field's option: with a `value` a switch that sets it, without one an option that takes it."""

    option: str
    field: str  # dotted
    value: str | None = None


# A field that is a switch, the value that turns it off, and the fields that then say nothing.
Switch = tuple[str, str, tuple[str, ...]]


class Change(NamedTuple):
    """A field's value as it was given."""

    field: str  # dotted
    option: str
    text: str
    shown: str  # as it was typed


def add_options(parser: argparse.ArgumentParser, schema: type[Section], aliases: Sequence[Alias] = ()) -> None:
    """An option for each field of the section and of the sections inside it; lists of sections have none.

    What is given is collected in `changes`, in order, as text: `overridden` says what is wrong with it, all at once.
    Options are not to be shortened: a shortened one would name another field once there are more.
    """
    parser.allow_abbrev = False
    parser.set_defaults(changes=[])
    group = parser.add_argument_group("parameters, over those of the file")
    for field, info in _leaves(schema):
        allowed = TypeAdapter(info.rebuild_annotation(), config=STRICT).json_schema()
        options = [_option(field), *(a.option for a in aliases if a.field == field and a.value is None)]
        group.add_argument(*options, action=_Collect, field=field, metavar=_metavar(allowed), help=expected_of(allowed))
    for alias in aliases:
        if alias.value is not None:
            shown = f"{_option(alias.field)} {alias.value}"
            group.add_argument(alias.option, action=_Collect, nargs=0, field=alias.field, const=alias.value, help=shown)


def overridden(schema: type[S], section: str, content: Any, changes: Sequence[Change], source: str) -> S:
    """The content of `section`, which came from `source`, with these changes, as `schema`.

    The result is validated as a whole, so what the file lacks may be given as an option. ExpectedError: an option's
    value does not fit its field, there is no such field, two options differ on one, or the whole does not fit.
    """
    fields = dict(_leaves(schema))
    problems: list[str] = []
    values: dict[str, tuple[Any, Change]] = {}
    for change in changes:
        value, problem = _value(change, fields)
        earlier = values.get(change.field)
        if problem is not None:
            problems.append(problem)
        elif earlier is not None and earlier[0] != value:
            problems.append(f"{earlier[1].shown} and {change.shown} contradict each other: give one of them")
        else:
            values[change.field] = value, change
    if problems:
        raise ExpectedError("\n  ".join(["the command line does not fit:", *problems] if problems[1:] else problems))
    merged = copy.deepcopy(content)
    for field, (value, _) in values.items():
        _set(merged, field.split("."), value)
    given = " ".join(change.shown for change in changes)
    fields_of_whole: dict[str, Any] = {section: (schema, ...)}
    whole = create_model("Whole", __base__=Section, **fields_of_whole)  # so that messages name the section
    found = validated(whole, {section: merged}, f"{source} with {given}" if given else source)
    selected: S = getattr(found, section)
    return selected


def refuse_idle(settings: Section, changes: Sequence[Change], switches: Sequence[Switch]) -> None:
    """ExpectedError where a change has no effect, because the switch over its field is off in these settings."""
    for switch, off, idle in switches:
        for change in changes:
            if change.field in idle and getattr(settings, switch) == off:
                raise ExpectedError(f"{change.shown} says nothing while {switch} is {off}: set {switch} too")


def differences(one: Section, other: Section) -> list[str]:
    """Each field in which two sections of the same kind differ: "epochs: 3 and 5"."""
    pairs = zip(_flat(one.model_dump()), _flat(other.model_dump()), strict=True)
    return [f"{field}: {value} and {than}" for (field, value), (_, than) in pairs if value != than]


class _Collect(argparse.Action):
    def __init__(self, option_strings: Sequence[str], field: str, **keywords: Any) -> None:
        super().__init__(option_strings, **(keywords | {"dest": "changes", "default": argparse.SUPPRESS}))
        self.field = field

    def __call__(
        self, _parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        assert option is not None
        text, shown = (self.const, option) if self.nargs == 0 else (values, f"{option} {values}")
        namespace.changes = [*namespace.changes, Change(self.field, option, text, shown)]


def _leaves(schema: type[Section], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, info in schema.model_fields.items():
        kind: Any = info.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _leaves(kind, f"{prefix}{name}.")
        elif not _holds_sections(kind):
            yield prefix + name, info


def _holds_sections(kind: Any) -> bool:
    return (isinstance(kind, type) and issubclass(kind, Section)) or any(map(_holds_sections, get_args(kind)))


def _option(field: str) -> str:
    return "--" + field.replace(".", "-").replace("_", "-")


def _value(change: Change, fields: Mapping[str, FieldInfo]) -> tuple[Any, str | None]:
    """What the text means as its field's value, and what is wrong with it."""
    if change.field not in fields:
        close = difflib.get_close_matches(change.field, fields, n=1)
        return None, f"{change.shown}: no {change.field!r}; " + (
            f"did you mean {close[0]!r}?" if close else f"there are {', '.join(fields)}"
        )
    adapter: TypeAdapter[Any] = TypeAdapter(fields[change.field].rebuild_annotation(), config=STRICT)
    for meaning in _meanings(change):
        try:
            return adapter.validate_python(meaning), None
        except ValidationError:
            continue  # said below, in the words of the command line
    allowed = adapter.json_schema()
    close = difflib.get_close_matches(change.text, [str(choice) for choice in choices_of(allowed)], n=1)
    advice = f"; did you mean {close[0]}?" if close else ""
    return None, f"{change.shown}: expected {expected_of(allowed)}{advice}"


def _meanings(change: Change) -> Iterator[Any]:
    """The text itself, and what it would mean in params.yaml."""
    yield change.text
    try:
        yield parse_yaml(change.text, change.option)
    except ExpectedError:
        return  # no YAML, so it is text and nothing else


def _set(content: Any, parts: list[str], value: Any) -> None:
    """Put the value at its place; where the file holds something else than a section, its own check will say so."""
    *sections, name = parts
    for section in sections:
        content = content.setdefault(section, {}) if isinstance(content, dict) else None
    if isinstance(content, dict):
        content[name] = value


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _metavar(allowed: Mapping[str, Any]) -> str:
    if choices_of(allowed):
        return "{" + ",".join(map(str, choices_of(allowed))) + "}"
    kinds = [str(option.get("type")) for option in allowed.get("anyOf", [allowed])]
    return {"integer": "N", "number": "X", "array": "LIST"}.get(kinds[0], "VALUE")
