"""A study as text of params.yaml, each setting with a comment, and as lines for the terminal."""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from pipeline.core.errors import ExpectedError
from pipeline.core.text_table import aligned
from pipeline.core.wording import shown
from pipeline.params.draft import Decision
from pipeline.params.reading import parse_yaml

WIDTH = 120
COMMENTS_FROM = 32  # column of comments, from the name of the study on
LONGEST_FLOW = 70  # characters of a mapping on one line
LONGEST_SHOWN = 48  # of a value on the terminal


def study_text(name: str, about: str, settings: Mapping[str, Any], decisions: Sequence[Decision]) -> str:
    """The study, not indented: a comment with what it is about, its name, and its settings."""
    reasons = {decision.key: decision.reason for decision in decisions}
    lines = [*_comment(about, ""), f"{name}:"]
    lines += _block(settings, "", 2, reasons)
    return "\n".join(lines) + "\n"


def flow(value: Any) -> str:
    """A value on one line of YAML, as this project reads it."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
    text = text.removesuffix("\n").removesuffix("\n...")
    try:
        same = parse_yaml(text, "") == value
    except ExpectedError:
        same = False
    return text if same else json.dumps(value, ensure_ascii=False)  # such as the text 1e3, a number to this project


def told(decisions: Sequence[Decision]) -> list[str]:
    """A line per setting: key, value and reason."""
    rows = [(decision.key, shown(flow(decision.value), LONGEST_SHOWN), decision.reason) for decision in decisions]
    return [f"  {line}".rstrip() for line in aligned(rows, left=3)]


def _block(settings: Mapping[str, Any], above: str, indent: int, reasons: Mapping[str, str]) -> Iterator[str]:
    for key, value in settings.items():
        place, head = f"{above}{key}", f"{' ' * indent}{flow(key)}:"
        reason = reasons.get(place, "")
        inside = isinstance(value, Mapping) and any(known.startswith(f"{place}.") for known in reasons)
        if isinstance(value, Mapping) and value and (inside or len(flow(value)) > LONGEST_FLOW):
            if reason:
                yield from _comment(reason, " " * indent)
            yield head
            yield from _block(value, f"{place}.", indent + 2, reasons)
            continue
        line = f"{head} {flow(value)}"
        commented = f"{line.ljust(COMMENTS_FROM)} # {reason}"
        if not reason:
            yield line
        elif len(commented) <= WIDTH - 4:  # the text will be indented
            yield commented
        else:
            yield from _comment(reason, " " * indent)
            yield line


def _comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(shown(text, 2_000), WIDTH - 6, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
