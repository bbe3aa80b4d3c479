"""A time series of several channels with its splits, as ingest keeps it.

T: rows of the series, C: channels, K: known columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.errors import ExpectedError
from pipeline.core.files import read_json
from pipeline.mole.data.step import Step

DATE = "date"  # the column of time stamps in series.parquet
OFFSET = "utc_offset_seconds"  # and of their offsets from UTC, where the file says them
SPLITS = ("train", "validation", "test")  # in the order of time


@dataclass(frozen=True)
class Series:
    """Rows one step of time apart, without a gap."""

    date_T: npt.NDArray[np.int64]  # seconds since 1970-01-01 00:00 in the clock of the file
    value_TC: npt.NDArray[np.float64]  # finite, in the units of the file
    channels: tuple[str, ...]
    step: Step  # from one row to the next
    splits: Mapping[str, tuple[int, int]]  # of SPLITS: first row and the row after the last
    offset_T: npt.NDArray[np.int64] | None = None  # of the clock of the file from UTC (seconds), where it is known
    known: tuple[str, ...] = ()  # columns whose future is known
    known_TCK: npt.NDArray[np.float64] | None = None  # with one C for all where the channels share them
    static: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by column, a value of each channel

    def described(self) -> dict[str, Any]:
        """What a model's config.json keeps of it, beside channels and scaler."""
        return {**self.step.described(), **({"static": list(self.static)} if self.static else {})}


def write_series(path: Path, series: Series) -> None:
    """Write series.parquet: the column `date`, then one of float64 for each channel; the splits go to source.json.

    Known columns follow, each of all channels or one for each; offsets from UTC are the last column, where they are
    known.
    """
    columns = [pa.array(series.date_T.astype("datetime64[s]")), *map(pa.array, series.value_TC.T)]
    names = [DATE, *series.channels]
    if series.known_TCK is not None:
        columns += map(pa.array, series.known_TCK.transpose(2, 1, 0).reshape(-1, len(series.date_T)))
        whose = [f" of {channel}" for channel in series.channels] if series.known_TCK.shape[1] > 1 else [""]
        names += [f"known {name}{of}" for name in series.known for of in whose]
    if series.offset_T is not None:
        columns, names = [*columns, pa.array(series.offset_T)], [*names, OFFSET]
    pq.write_table(pa.Table.from_arrays(columns, names), path)


def read_series(folder: Path) -> Series:
    """The series that ingest wrote to `folder`. ExpectedError where it is not there or damaged."""
    try:
        source = read_json(folder / "source.json")
        table = pq.read_table(folder / "series.parquet")
        date_T = table.column(0).to_numpy().astype("datetime64[s]").astype(np.int64)
        offset_T = table.column(OFFSET).to_numpy() if table.column_names[-1] == OFFSET else None
        channels, known = tuple(source["channels"]), tuple(source.get("known", ()))
        after = table.num_columns - (offset_T is not None)
        value_TC, known_TN = (
            np.column_stack([np.empty((table.num_rows, 0)), *(column.to_numpy() for column in table.columns[part])])
            for part in (slice(1, len(channels) + 1), slice(len(channels) + 1, after))
        )
        known_TCK = known_TN.reshape(len(date_T), len(known), -1).transpose(0, 2, 1) if known else None
        splits = {name: (int(first), int(after)) for name, (first, after) in source["splits"].items()}
        static = {name: tuple(values) for name, values in source.get("static", {}).items()}
        return Series(date_T, value_TC, channels, Step.restored(source), splits, offset_T, known, known_TCK, static)
    except FileNotFoundError as error:
        raise ExpectedError(f"{error.filename} not found: `dvc repro ingest@mole-{folder.name}` makes it") from error
    except (ValueError, KeyError) as error:
        again = f"dvc repro --force ingest@mole-{folder.name}"
        raise ExpectedError(f"{folder} holds a damaged file: {error}: `{again}` makes it anew") from error
