"""A section of params.yaml with values of the command line: `-S epochs=3`, as `dvc exp run` has it."""

import argparse
import copy
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import create_model

from pipeline.commands.changes import parsed
from pipeline.core.errors import ExpectedError
from pipeline.core.nested import leaves
from pipeline.params.reading import validated
from pipeline.params.section import Section

S = TypeVar("S", bound=Section)

# A field that is a switch, the value that turns it off, and the fields that then have no effect.
Switch = tuple[str, str, tuple[str, ...]]


def add_option(parser: argparse.ArgumentParser, section: str) -> None:
    """`-S KEY=VALUE`, which may be repeated; what is given is collected in `changes`, as text."""
    parser.add_argument(
        "-S",
        "--set-param",
        action="append",
        default=[],
        dest="changes",
        metavar="KEY=VALUE",
        help=f"a parameter of the section {section} in place of the file's, such as -S epochs=3 (may be repeated)",
    )


def overridden(schema: type[S], section: str, content: Any, changes: Sequence[str], source: str) -> S:
    """The section with this dotted name in the content of the file `source`, with these changes, as `schema`.

    A change is KEY=VALUE: a dotted key, with or without the name of the section, and YAML. ExpectedError where it is
    something else, a key is given twice, the file has no such section, or the whole does not fit.
    """
    whole: Any = copy.deepcopy(content)
    own, path = whole, section.split(".")
    for name in path:
        own = own.get(name) if isinstance(own, dict) else None
    if not isinstance(own, dict):
        raise ExpectedError(f"{source} has no section {section!r}: add it as it is in params.yaml")
    for key, value in parsed(changes, section).items():
        *parents, name = key.split(".")
        inner = own
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise ExpectedError(f"{key}: {parent!r} is one value in {source}, not a section")
        inner[name] = value
    outer: Any = schema
    for name in reversed(path):  # so that messages name the section
        own = {name: own}
        fields: dict[str, Any] = {name: (outer, ...)}
        outer = create_model("Outer", __base__=Section, **fields)
    found: Any = validated(outer, own, " with ".join([source, *([", ".join(changes)] if changes else [])]))
    for name in path:
        found = getattr(found, name)
    selected: S = found
    return selected


def refuse_idle(settings: Section, changes: Mapping[str, Any], switches: Sequence[Switch]) -> None:
    """ExpectedError where a change, by key, has no effect: the switch over its field is off in these settings."""
    for switch, off, idle in switches:
        for key in changes:
            if key in idle and getattr(settings, switch) == off:
                raise ExpectedError(f"{key} has no effect while {switch} is {off}: set {switch} too")


def differences(one: Section, other: Section) -> list[str]:
    """Each field in which two sections of the same kind differ: "epochs: 3 and 5"."""
    before, now = dict(leaves(one.model_dump())), dict(leaves(other.model_dump()))
    return [f"{field}: {value} and {now[field]}" for field, value in before.items() if value != now[field]]
