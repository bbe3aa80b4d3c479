"""The standard file: anndata reads it, its bytes depend on the cells alone, and a full disk is an error, no crash."""

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pytest

from pipeline.data.columns import Column
from pipeline.data.standard_h5ad import standard_h5ad_file
from pipeline.data.standard_h5ad_reader import open_standard_h5ad


def write(path: Path, cells: int, rows: int) -> None:
    """2 counts per cell, `rows` cells per block."""
    codes = np.arange(cells, dtype=np.int32) % 2
    with standard_h5ad_file(path, ["a", "b", "c"]) as writer:
        for start in range(0, cells, rows):
            n = min(rows, cells - start)
            writer.append(np.arange(0, 2 * n + 1, 2), np.tile(np.int32([0, 2]), n), np.full(2 * n, 5, np.int32))
        names = ([f"cell{i}" for i in range(start, min(start + rows, cells))] for start in range(0, cells, rows))
        writer.finish(names, {"perturbation": Column(codes, ["control", "drug"], [])})


def test_anndata_reads_what_was_written(tmp_path):
    write(tmp_path / "cells.h5ad", 10, 4)
    cells = anndata.read_h5ad(tmp_path / "cells.h5ad")
    np.testing.assert_array_equal(cells.X.toarray(), np.tile([5, 0, 5], (10, 1)))
    assert cells.X.dtype == np.int32
    assert list(cells.obs_names) == [f"cell{i}" for i in range(10)]
    assert list(cells.var_names) == ["a", "b", "c"]
    assert list(cells.obs["perturbation"]) == ["control", "drug"] * 5


def test_doses_and_places_are_kept_beside_the_cells(tmp_path):
    doses = {"control": {}, "a/b + c@0.1": {"a/b": 0.1, "c": 0.1}}  # a slash would be a group of HDF5
    places_NS = np.random.default_rng(0).normal(size=(2, 3))
    for name, given in (("with", (doses, places_NS)), ("without", (None, None))):
        with standard_h5ad_file(tmp_path / f"{name}.h5ad", ["a"]) as writer:
            writer.append(np.array([0, 1, 1]), np.int32([0]), np.int32([5]))
            columns = {"perturbation": Column(np.int32([0, 1]), ["control", "drug"], [])}
            writer.finish([["cell0", "cell1"]], columns, *given)
    with open_standard_h5ad(tmp_path / "with.h5ad") as reader:
        assert reader.doses() == doses
        np.testing.assert_array_equal(reader.spatial(), places_NS)
    with open_standard_h5ad(tmp_path / "without.h5ad") as reader:
        assert (reader.doses(), reader.spatial()) == (None, None)
    cells = anndata.read_h5ad(tmp_path / "with.h5ad")
    assert json.loads(cells.uns["doses"]) == doses
    np.testing.assert_array_equal(cells.obsm["spatial"], places_NS)


def test_the_same_cells_give_the_same_bytes(tmp_path):
    write(tmp_path / "one.h5ad", 1000, 100)
    write(tmp_path / "two.h5ad", 1000, 100)
    assert (tmp_path / "one.h5ad").read_bytes() == (tmp_path / "two.h5ad").read_bytes()


LIMITED_WRITE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_standard_h5ad import write
try:
    write(Path(sys.argv[2]), 400_000, int(sys.argv[3]))
except OSError as error:
    print(type(error).__name__, error.errno, error.filename)
"""


@pytest.mark.parametrize("limit", [4_000, 100_000, 3_000_000, 6_000_000])
@pytest.mark.parametrize("rows", [1_000, 400_000])
def test_a_disk_that_refuses_is_an_os_error_and_no_crash(tmp_path, limit, rows):
    """A limit on file size stands in for a full disk: the kernel refuses the write in the same place."""

    def refuse() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    # -B: under the limit the interpreter's own .pyc files would be cut off too, and stay so.
    arguments = [str(Path(__file__).parent), str(tmp_path / "cells.h5ad"), str(rows)]
    command = [sys.executable, "-B", "-c", LIMITED_WRITE, *arguments]
    done = subprocess.run(command, preexec_fn=refuse, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"OSError 27 {tmp_path / 'cells.h5ad'}"
    assert done.stderr == ""
