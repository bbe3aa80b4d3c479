"""Where results in git come from: commit, commands, data, and the study of the same data that there is now."""

from collections.abc import Mapping
from typing import Any

from pipeline.report.parameters import flattened

STUDIES = "benchmarks/studies.yaml"
_CHANGED = "-dirty"


def origin(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values of `about`, the JSON file beside a committed table: its commands are of its commit."""
    changed = ", ".join(f"{key} {value}" for key, value in flattened(about["changed"]))
    return [
        ("Made by", f"{', then '.join(about['commands'])}, at commit {_commit(about)}"),
        *([("Machine", about["machine"])] if "machine" in about else []),  # of the first ones it was not kept
        ("Data's SHA-256", about["data_sha256"]),
        ("Changed parameters", changed or "none"),
        ("Same data now", _study(about)),
    ]


def made_by_commands(about: Mapping[str, Any]) -> str:
    """The same as a sentence in Markdown."""
    commands = ", then ".join(f"`{command}`" for command in about["commands"])
    return f"Made by {commands}, at commit {_commit(about)}. The same data now are {_study(about, '`')}."


def _commit(about: Mapping[str, Any]) -> str:
    commit = str(about["commit"])
    bare = commit.removesuffix(_CHANGED)
    return bare if bare == commit else f"{bare}, with uncommitted changes"


def _study(about: Mapping[str, Any], quote: str = "") -> str:
    return f"the study {quote}{about['study']}{quote} of {quote}{STUDIES}{quote}"
