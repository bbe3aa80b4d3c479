"""Reading CSV and parquet tables of other stages, with a clear error if one is missing or malformed."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.report.reading import Maker, check_names, malformed, missing

# text columns
_LABELS = (
    *("cell_type", "perturbation", "method", "role", "metric", "variant", "point", "kind"),
    *("mode", "section"),
    *("backbone", "twin", "channel", "series", "way", "by"),
)


def read_csv(path: Path, maker: Maker, columns: Sequence[str], others: bool = False) -> pd.DataFrame:
    """These columns of a CSV file, and with `others` all of them. Columns are numeric (empty: undefined) except
    `_LABELS`, which stay text: "NA" and "007" can be cell types.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        check_names(path, maker, table.columns, columns)
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
    """These columns of a parquet file, and with `others` all of them."""
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise missing(path, maker) from error
    except pa.ArrowInvalid as error:
        raise malformed(path, maker, str(error)) from error
    check_names(path, maker, table.column_names, columns)
    if not table.num_rows and not may_be_empty:
        raise malformed(path, maker, "has no rows")
    frame: pd.DataFrame = (table if others else table.select(list(columns))).to_pandas()
    return frame
