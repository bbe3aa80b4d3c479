"""Where committed results come from: commit, commands, data, and the study of the same data that there is now."""

from collections.abc import Mapping
from typing import Any

from pipeline.report.parameters import flattened

STUDIES = "benchmarks/studies.yaml"
_CHANGED = "-dirty"


def origin(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values of `about`, the JSON file beside a committed table: its commands are of its commit."""
    parameters = about.get("parameters") or about.get("changed") or {}
    return [
        ("Made by", f"{', then '.join(_commands(about))}, at commit {_commit(about)}"),
        ("Data's SHA-256", about["data_sha256"]),
        ("Parameters", ", ".join(f"{key} {value}" for key, value in flattened(parameters)) or "none"),
        *([("Same data now", _study(about))] if "study" in about else []),
    ]


def made_by_commands(about: Mapping[str, Any]) -> str:
    """The same as a sentence in Markdown."""
    commands = ", then ".join(f"`{command}`" for command in _commands(about))
    now = f" The same data now are {_study(about, '`')}." if "study" in about else ""
    return f"Made by {commands}, at commit {_commit(about)}.{now}"


def _commands(about: Mapping[str, Any]) -> list[str]:
    return list(about["commands"]) if "commands" in about else [about["command"]]


def _commit(about: Mapping[str, Any]) -> str:
    commit = str(about["commit"])
    bare = commit.removesuffix(_CHANGED)
    return bare if bare == commit else f"{bare}, with uncommitted changes"


def _study(about: Mapping[str, Any], quote: str = "") -> str:
    return f"the study {quote}{about['study']}{quote} of {quote}{STUDIES}{quote}"
