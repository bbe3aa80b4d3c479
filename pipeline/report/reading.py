"""Reading what other stages wrote: an error that names the maker where a file is missing or malformed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pipeline.core import files
from pipeline.core.errors import ExpectedError
from pipeline.metrics.results import Row, read_results

B = TypeVar("B")


@dataclass(frozen=True)
class Maker:
    """The commands that make and remake a file."""

    command: str
    again: str


def stage(name: str) -> Maker:
    """The maker of the outputs of a stage."""
    return Maker(f"dvc repro {name}", f"dvc repro --force {name}")


def read_json(path: Path, maker: Maker, keys: Sequence[str]) -> dict[str, Any]:
    try:
        content = files.read_json(path)
    except FileNotFoundError as error:
        raise missing(path, maker) from error
    except ValueError as error:
        raise malformed(path, maker, str(error)) from error
    if not isinstance(content, dict):
        raise malformed(path, maker, "not a JSON object")
    check_names(path, maker, content, keys)
    return content


def read_scores(path: Path, maker: Maker, board_of: Callable[[list[Row]], B]) -> B:
    """The board that a table of results makes. ExpectedError where the table is missing or damaged, or makes none."""
    rows = read_results(path, maker.command, maker.again)
    try:
        return board_of(rows)
    except ExpectedError as error:
        raise malformed(path, maker, str(error)) from error


def check_names(path: Path, maker: Maker, found: Any, expected: Sequence[str]) -> None:
    """ExpectedError if a file lacks a key or a column."""
    absent = [name for name in expected if name not in found]
    if absent:
        raise malformed(path, maker, f"lacks {', '.join(absent)}")


def missing(path: Path, maker: Maker) -> ExpectedError:
    return ExpectedError(f"{path} not found: `{maker.command}` makes it")


def malformed(path: Path, maker: Maker, problem: str) -> ExpectedError:
    return ExpectedError(f"{path}: {problem}: `{maker.again}` makes it anew")
