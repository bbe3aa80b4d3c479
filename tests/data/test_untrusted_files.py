"""Files that are locked, of another kind, damaged or made to harm: one message each, in bounded memory and time."""

import errno
import fcntl
import gzip
import os
import random
import shutil
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import zarr

from pipeline.core.errors import ExpectedError
from pipeline.core.files import read_json, write_json
from pipeline.data import container
from pipeline.data.contract import CONTRACTS, accept
from pipeline.data.h5ad import open_anndata
from pipeline.data.new_cells import cells_of_file
from pipeline.data.source import Source
from pipeline.params.obs_column import ObsColumn

COLUMNS = {"perturbation": "condition", "cell_type": "cluster", "batch": "donor"}


def ingested(path: Path) -> None:
    """As ingest@cfm_vc-pbmc reads it."""
    columns = {name: ObsColumn.model_validate(column) for name, column in COLUMNS.items()}
    source = Source(path, "cfm_vc.ingest", "X", columns, "ctrl")
    accept(CONTRACTS["perturbation"], source, path.with_name("standard.h5ad"))


def used(path: Path) -> None:
    """As predict reads it."""
    with cells_of_file(path) as new:
        for _ in new.blocks():
            pass
        for name in new.obs:
            new.column(str(name), frozenset())


def refusal(path: Path) -> str:
    """The words with which both refuse it."""
    words = []
    for read in (ingested, used):
        with pytest.raises(ExpectedError) as caught:
            read(path)
        words.append(str(caught.value))
    assert words[0] == words[1]
    return words[0]


@pytest.fixture
def path(lab_adata, tmp_path) -> Path:
    lab_adata.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def test_a_file_that_is_open_for_writing(path):
    with path.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)  # as h5py does with "r+" in another process
        assert "is open for writing in another process" in refusal(path)
    ingested(path)


def test_a_flag_that_a_killed_writer_left(path, tmp_path):
    with h5py.File(tmp_path / "open.h5ad", "w", libver="latest") as file, h5py.File(path) as whole:
        for name in whole:
            whole.copy(name, file)
        file.flush()
        shutil.copy(tmp_path / "open.h5ad", tmp_path / "killed.h5ad")
    ingested(tmp_path / "open.h5ad")
    assert f"clear it with h5clear -s {tmp_path / 'killed.h5ad'}" in refusal(tmp_path / "killed.h5ad")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks(path, monkeypatch, number):
    def no_locks(*_):
        detail = f"unable to lock file, errno = {number}, error message = '{os.strerror(number)}'"
        raise OSError(number, f"Unable to synchronously open file ({detail})")

    monkeypatch.setattr(h5py, "File", no_locks)
    assert "HDF5_USE_FILE_LOCKING=FALSE" in refusal(path)


def test_a_packed_file_comes_with_the_line_that_unpacks_it(path):
    packed = path.with_name("cells.h5ad.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert f"is packed (gzip): unpack it with gunzip --keep {packed}" in refusal(packed)


@pytest.mark.parametrize(
    ("name", "groups", "words"),
    [
        ("a.h5", ["matrix/features"], "is 10x HDF5, not AnnData: .*scanpy.read_10x_h5(.*).write_h5ad(.*a.h5ad"),
        ("a.h5", ["GRCh38/barcodes", "GRCh38/gene_names"], "is 10x HDF5, not AnnData"),
        ("a.loom", ["matrix", "row_attrs", "col_attrs"], "is loom, not AnnData: .*anndata.io.read_loom(.*a.loom"),
        ("a.h5mu", ["obs", "var", "mod/rna/obs", "mod/atac"], "is MuData.* for one of its modalities, atac, rna"),
        ("a.h5Seurat", ["assays", "cell.names"], "is h5Seurat, not AnnData: .*SeuratDisk::Convert"),
        ("a.h5", ["weights"], "is no AnnData: found weights; expected obs and var"),
    ],
)  # fmt: skip
def test_another_container_comes_with_the_line_that_converts_it(tmp_path, name, groups, words):
    with h5py.File(tmp_path / name, "w") as file:
        for group in groups:
            file.create_group(group)
    with pytest.raises(ExpectedError, match=words.replace("(", r"\(").replace(r"\(.*)", r"\(.*\)")):
        ingested(tmp_path / name)


def linked(file: h5py.File, how: str, folder: Path) -> None:
    """Counts, names or a column that come from elsewhere, as `how` says."""
    outside, cells = str(folder / "outside"), len(file["obs/_index"])
    if how == "external storage":
        del file["X"]
        file.create_dataset("X", (80, 12), "u1", external=[(outside, 0, h5py.h5f.UNLIMITED)])
    if how == "external link":
        del file["X"]
        file["X"] = h5py.ExternalLink(outside, "/X")
    if how == "external group":
        file.copy("obs", "copy")
        del file["obs"]
        file["obs"] = h5py.ExternalLink(outside, "/obs")
    if how == "soft link to an external one":
        del file["obs/condition"]
        file["elsewhere"] = h5py.ExternalLink(outside, "/")
        file["obs/condition"] = h5py.SoftLink("/elsewhere/obs/condition")
    if how == "virtual":
        layout = h5py.VirtualLayout((cells,), "i1")
        layout[:] = h5py.VirtualSource(outside, "codes", (cells,))
        del file["obs/condition/codes"]
        file.create_virtual_dataset("obs/condition/codes", layout)
    if how == "loop":
        del file["X"]
        file["X"], file["Y"] = h5py.SoftLink("/Y"), h5py.SoftLink("/X")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("external storage", "/X is values kept in another file"),
        ("external link", "X is a link to another file"),
        ("external group", "obs is a link to another file"),
        ("soft link to an external one", "is a link to another file"),
        ("virtual", "/obs/condition/codes is a view of other files"),
        ("loop", "is a loop of links inside the file"),
    ],
)
def test_what_leaves_the_file_is_not_followed(path, tmp_path, how, words):
    os.mkfifo(tmp_path / "outside")  # to open it would wait for ever
    with h5py.File(path, "r+") as file:
        linked(file, how, tmp_path)
    assert words in refusal(path)


def test_a_link_inside_the_file_is_followed(path, lab_adata):
    with h5py.File(path, "r+") as file:
        file["layers/same"] = h5py.SoftLink("/X")
        file["obs/kind"] = h5py.SoftLink("cluster")
        file["obs"].attrs["column-order"] = ["condition", "cluster", "donor", "kind"]
    with open_anndata(path) as file:
        blocks = file.counts("layers/same").blocks(100)
        assert sum(int(block.counts.sum()) for block in blocks) == lab_adata.X.sum()
        assert file.column("kind").labels == ["B", "T"]


HUGE = 5_000_000_000


def claimed(file: h5py.File, what: str) -> None:
    chunks = {"chunks": (1 << 20,), "compression": "gzip"}
    if what == "categories":
        del file["obs/condition/categories"]
        file["obs/condition"].create_dataset("categories", (HUGE,), h5py.string_dtype(), **chunks)
    if what == "names":
        del file["obs/_index"]
        file["obs"].create_dataset("_index", (HUGE,), h5py.string_dtype(), **chunks)
    if what == "counts":
        del file["X"]
        file.create_dataset("X", (HUGE, 12), "i4", chunks=(1024, 12))
    if what == "shape":
        file["X"].attrs["shape"] = [HUGE, HUGE]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("categories", "/obs/condition/categories is damaged: it claims 5,000,000,000 values"),
        ("names", "/obs/_index is damaged: it claims 5,000,000,000 values"),
        ("counts", "/X is damaged: it claims 60,000,000,000 values"),
        ("shape", "counts in X: found 5,000,000,000 x 5,000,000,000; expected 80 cells x 12 genes"),
    ],
)
def test_sizes_that_are_only_claimed_are_refused_before_memory_is_taken(path, what, words):
    with h5py.File(path, "r+") as file:
        claimed(file, what)
    assert words in refusal(path)


def test_more_than_the_memory_is_not_read(path, monkeypatch):
    monkeypatch.setattr(container, "memory", lambda: 2_000)
    assert "which this machine's memory lacks" in refusal(path)


def store(folder: Path, adata: anndata.AnnData, how: str) -> Path:
    adata.write_zarr(folder)
    (folder.parent / "secret").write_text("of the system")
    if how == "link":
        (folder / "obs/secret").symlink_to(folder.parent / "secret")
    if how == "linked folder":
        (folder / "obs/secret").symlink_to(folder.parent)
    if how == "pipe":
        os.mkfifo(folder / "obs/pipe")
    if how == "pickle":
        shutil.rmtree(folder / "obs/donor")
        zarr.open_group(folder, zarr_format=2)["obs"].create_array("donor", shape=(80,), dtype=str)
        described = read_json(folder / "obs/donor/.zarray")
        write_json(folder / "obs/donor/.zarray", described | {"filters": [{"id": "vlen-utf8"}, {"id": "pickle"}]})
    if how == "cut":
        (folder / ".zgroup").write_text('{"zarr_format":')
        (folder / ".zmetadata").unlink()
    return folder


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("link", "obs/secret is a link or no regular file"),
        ("linked folder", "obs/secret is a link or no regular file"),
        ("pipe", "obs/pipe is a link or no regular file"),
        ("pickle", "/obs/donor holds pickled objects, which are not read"),
        ("cut", "is damaged, it cannot be read"),
    ],
)
def test_a_zarr_store_is_not_trusted_either(lab_adata, tmp_path, how, words):
    assert words in refusal(store(tmp_path / "cells.zarr", lab_adata, how))


def test_an_attribute_of_a_type_that_crashes_the_library(path):
    with h5py.File(path, "r+") as file:
        values = np.empty(1, object)
        values[0] = np.arange(3)
        file["obs"].attrs.create("column-order", values, dtype=h5py.vlen_dtype(np.int8))
    assert "/obs is damaged: its attribute 'column-order' is neither text, number nor reference" in refusal(path)


def test_a_category_that_is_named_twice(path):
    with h5py.File(path, "r+") as file:
        file["obs/condition/categories"][0] = file["obs/condition/categories"][1]
    assert "/obs/condition/categories is damaged: it names a category twice" in refusal(path)


@pytest.mark.parametrize("variant", ["plain", "compressed", "csc"])
def test_flipped_bits_end_in_one_message_or_in_a_clean_read(lab_adata, tmp_path, variant):
    """Damage of 1 to 64 bits anywhere, half of it in the headers; never another exception, and both readers end."""
    path = tmp_path / "cells.h5ad"
    lab_adata.X = lab_adata.X.tocsc() if variant == "csc" else lab_adata.X
    lab_adata.write_h5ad(path, compression="gzip" if variant == "compressed" else None)
    whole = path.read_bytes()
    clean, refusals = 0, []
    for seed in range(40):
        chance = random.Random(f"{variant} {seed}")
        content = bytearray(whole)
        for _ in range(chance.choice([1, 1, 2, 4, 16, 64])):
            content[chance.randrange(4096 if seed % 2 else len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        for read in (ingested, used):
            try:
                read(path)
                clean += 1
            except ExpectedError as error:
                refusals.append(str(error))
    assert clean > 0
    assert len(refusals) > 10
    assert all(str(path) in words for words in refusals)
