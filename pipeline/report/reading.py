"""Reading JSON, CSV and parquet files of other stages: what is missing or malformed is one clear error."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ExpectedError


@dataclass(frozen=True)
class Maker:
    """The command that makes a file, and the one that makes it anew."""

    command: str
    again: str


def stage(name: str) -> Maker:
    """What makes the outputs of a stage."""
    return Maker(f"dvc repro {name}", f"dvc repro --force {name}")


# columns of text
_LABELS = (
    *("cell_type", "perturbation", "method", "role", "metric", "variant", "point", "kind"),
    *("mode", "section"),
    *("backbone", "twin", "channel", "series", "way", "by"),
)


def read_json(path: Path, maker: Maker, keys: Sequence[str]) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise missing(path, maker) from error
    except ValueError as error:
        raise malformed(path, maker, str(error)) from error
    if not isinstance(content, dict):
        raise malformed(path, maker, "not a JSON object")
    _check_names(path, maker, content, keys)
    return content


def read_csv(path: Path, maker: Maker, columns: Sequence[str], others: bool = False) -> pd.DataFrame:
    """These columns of a CSV file, and all `others` if wanted: numbers (an empty field is undefined), but for the
    `_LABELS`, which are kept as they are: "NA" and "007" are cell types too.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        _check_names(path, maker, table.columns, columns)
        table = table if others else table[list(columns)]
        for name in table.columns.difference(list(_LABELS)):
            table[name] = pd.to_numeric(table[name])
    except FileNotFoundError as error:
        raise missing(path, maker) from error
    except ValueError as error:  # pandas' parser errors are ValueErrors too
        raise malformed(path, maker, str(error)) from error
    if table.empty:
        raise malformed(path, maker, "has no rows")
    return table


def read_parquet(
    path: Path, maker: Maker, columns: Sequence[str], may_be_empty: bool = False, others: bool = False
) -> pd.DataFrame:
    """These columns of a parquet file, and all `others` if wanted."""
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise missing(path, maker) from error
    except pa.ArrowInvalid as error:
        raise malformed(path, maker, str(error)) from error
    _check_names(path, maker, table.column_names, columns)
    if not table.num_rows and not may_be_empty:
        raise malformed(path, maker, "has no rows")
    frame: pd.DataFrame = (table if others else table.select(list(columns))).to_pandas()
    return frame


def _check_names(path: Path, maker: Maker, found: Any, expected: Sequence[str]) -> None:
    absent = [name for name in expected if name not in found]
    if absent:
        raise malformed(path, maker, f"lacks {', '.join(absent)}")


def missing(path: Path, maker: Maker) -> ExpectedError:
    return ExpectedError(f"{path} not found: `{maker.command}` makes it")


def malformed(path: Path, maker: Maker, problem: str) -> ExpectedError:
    return ExpectedError(f"{path}: {problem}: `{maker.again}` makes it anew")
