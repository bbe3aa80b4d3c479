"""Values read from the file directly are those that HDF5 gives; what does not lie there plainly is left to HDF5."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pipeline.core.errors import ExpectedError
from pipeline.data.hdf5_container import open_hdf5
from pipeline.data.stored_values import StoredValues

NUMBER = 1000
VALUES = np.random.default_rng(0).integers(-(2**31), 2**31, NUMBER)


def written(path: Path, kind: str = "<i4", **layout: Any) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("values", data=VALUES.astype(kind), **layout)
    return path


@pytest.mark.parametrize("kind", ["<i4", "<i8", "<f4", "<f8", "u1"])
@pytest.mark.parametrize("chunks", [None, (64,), (1000,), (1500,)])
def test_any_run_of_values_is_what_hdf5_gives(tmp_path: Path, kind: str, chunks: tuple[int] | None) -> None:
    layout = {"maxshape": (None,), "chunks": chunks} if chunks else {}
    with h5py.File(written(tmp_path / "a.h5", kind, **layout)) as file:
        stored = StoredValues.of(file["values"])
        assert stored is not None
        for start, stop in [
            (0, NUMBER),
            (0, 0),
            (64, 128),
            (63, 129),
            (999, 1000),
            (1000, 1000),
            (500, 400),
            (3, 1000),
        ]:
            found, expected = stored.read(start, stop), file["values"][start:stop]
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)


def test_arrays_that_grew_side_by_side(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in "ab":
            file.create_dataset(name, (0,), "<i4", maxshape=(None,), chunks=(64,))
        for start in range(0, NUMBER, 30):
            for name, sign in (("a", 1), ("b", -1)):
                part = sign * VALUES[start : start + 30] // 2
                file[name].resize((start + len(part),))
                file[name][start:] = part
    with h5py.File(tmp_path / "a.h5") as file:
        for name in "ab":
            stored = StoredValues.of(file[name])
            assert stored is not None
            np.testing.assert_array_equal(stored.read(0, NUMBER), file[name][:])


@pytest.mark.parametrize(
    "layout",
    [
        {"chunks": (64,), "compression": "gzip"},
        {"chunks": (64,), "shuffle": True},
        {"chunks": (64,), "fletcher32": True},
    ],
)
def test_what_is_filtered_is_left_to_hdf5(tmp_path: Path, layout: dict[str, Any]) -> None:
    path = written(tmp_path / "a.h5", **layout)
    with h5py.File(path) as file:
        assert StoredValues.of(file["values"]) is None
    with open_hdf5(path) as root:
        np.testing.assert_array_equal(root["values"].read(5, 700), VALUES[5:700].astype("<i4"))


def test_other_kinds_and_what_is_not_stored_are_left_to_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["swapped"] = VALUES.astype(">i4")
        file["text"] = np.array(["a", "b"], h5py.string_dtype())
        file["square"] = np.zeros((3, 3))
        file["one"] = 5
        file["truth"] = np.array([True, False])  # an enumeration of HDF5's
        file["none"] = np.zeros(0, np.int32)
        file.create_dataset("holes", (NUMBER,), "<i4", chunks=(64,), fillvalue=7)[:10] = 1
        file.create_dataset("unwritten", (NUMBER,), "<i4", fillvalue=7)
    with h5py.File(tmp_path / "a.h5") as file:
        assert [name for name in file if StoredValues.of(file[name]) is not None] == []
    with open_hdf5(tmp_path / "a.h5") as root:
        assert root["holes"].read(8, 12).tolist() == [1, 1, 7, 7]
        assert root["unwritten"].read(0, 2).tolist() == [7, 7]
    with h5py.File(tmp_path / "b.h5", "w", userblock_size=512) as file:
        file["values"] = VALUES
    with h5py.File(tmp_path / "b.h5") as file:
        assert StoredValues.of(file["values"]) is None


def test_a_file_that_ends_too_early_is_truncated(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5")
    with open_hdf5(path) as root:
        values = root["values"]
        values.read(0, 1)
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - 100)
        with pytest.raises(ExpectedError, match=r"a\.h5 is truncated"):
            values.read(0, NUMBER)
