"""The parquet store: what is written is read back, by us and by others; what is broken is told."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import ExpectedError
from pipeline.core.files import atomic_folder, sha256
from pipeline.data.cells import Cells, concatenate
from pipeline.data.store import SPLITS, Store, open_store
from pipeline.data.store_writer import Layout, ShardWriter, StoreWriter, finish_store

CATEGORIES = {"perturbation": ["control", "drug"], "cell_type": ["B", "NK", "T"], "batch": ["a", "b"]}
GENES = [f"gene {number}" for number in range(7)]


def random_cells(cells: int, seed: int, genes: int = len(GENES)) -> Cells:
    rng = np.random.default_rng(seed)
    x_NG = rng.poisson(0.6, (cells, genes)).astype(np.int32)
    present_NG = x_NG > 0
    return Cells(
        genes=genes,
        names=np.array([f"cell {seed}-{number} é" for number in range(cells)], object),
        indptr=np.concatenate([[0], present_NG.sum(axis=1).cumsum()]).astype(np.int64),
        indices=np.nonzero(present_NG)[1].astype(np.int32),
        counts=x_NG[present_NG],
        covariates={
            "perturbation": rng.integers(0, 2, cells),
            "cell_type": rng.integers(0, 3, cells),
            "batch": rng.integers(0, 2, cells),
        },
        library_size=x_NG.sum(axis=1).astype(np.int64),
    )


def write(folder: Path, train: list[Cells], cells_per_shard: int = 20, **description: object) -> Store:
    dimensions = 0 if train[0].spatial is None else train[0].spatial.shape[1]
    with (
        atomic_folder(folder) as partial,
        StoreWriter(partial, GENES, CATEGORIES, cells_per_shard, dimensions) as writer,
    ):
        for cells in train:
            writer.append("train", cells, cells.library_size + 1)
        description = {"kind": "perturbation", "control": "control", **description}
        writer.finish({"mean": np.arange(len(GENES), dtype=float)}, description)
    return open_store(folder)


def assert_same(a: Cells, b: Cells) -> None:
    assert a.genes == b.genes
    for name in ("names", "indptr", "indices", "counts", "perturbation", "cell_type", "batch", "library_size"):
        found, expected = getattr(a, name), getattr(b, name)
        assert found.dtype == expected.dtype, name
        np.testing.assert_array_equal(found, expected, err_msg=name)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    parts = [random_cells(10, 1), random_cells(10, 2), random_cells(3, 3)]
    store = write(tmp_path / "store", parts)
    assert_same(store.read("train"), concatenate(parts))
    assert len(store.row_groups("train")) == 3
    assert [shard["cells"] for shard in store.dataset["splits"]["train"]["shards"]] == [20, 3]
    assert store.cells("train") == 23
    assert store.dataset["splits"]["train"]["nonzeros"] == sum(len(part.counts) for part in parts)
    assert (store.genes, store.control, store.categories) == (GENES, "control", CATEGORIES)


def test_an_empty_split_is_no_cells(tmp_path: Path) -> None:
    cells = write(tmp_path / "store", [random_cells(4, 1)]).read("test")
    assert len(cells) == 0
    assert cells.dense(slice(None)).shape == (0, len(GENES))


def test_cells_without_a_count_survive(tmp_path: Path) -> None:
    none = np.zeros(0, np.int32)
    two = np.zeros(2, np.int64)
    cells = Cells(
        7, np.array(["a", "b"], object), np.zeros(3, np.int64), none, none, dict.fromkeys(CATEGORIES, two), two
    )
    assert_same(write(tmp_path / "store", [cells]).read("train"), cells)


def test_dense_and_select_agree_with_a_loop() -> None:
    cells = random_cells(12, 4)
    rows = np.array([3, 3, 11, 0])
    expected_BG = np.zeros((4, 7), np.float32)
    for row, cell in enumerate(rows):
        for entry in range(cells.indptr[cell], cells.indptr[cell + 1]):
            expected_BG[row, cells.indices[entry]] = cells.counts[entry]
    np.testing.assert_array_equal(cells.dense(rows), expected_BG)
    np.testing.assert_array_equal(cells.select(rows).dense(slice(None)), expected_BG)
    mask = np.isin(np.arange(12), [0, 3, 11])
    np.testing.assert_array_equal(cells.dense(mask), expected_BG[[3, 0, 2]])
    assert_same(cells.select(slice(2, 5)), cells.select(np.array([2, 3, 4])))
    assert_same(cells.select(slice(None, None, 5)), cells.select(np.array([0, 5, 10])))
    assert cells.select(rows).names.tolist() == [cells.names[row] for row in rows]


def test_same_cells_give_the_same_bytes(tmp_path: Path) -> None:
    parts = [random_cells(10, 1), random_cells(10, 2)]
    one, two = (write(tmp_path / name, parts) for name in ("one", "two"))
    assert one.dataset == two.dataset
    for shard in one.dataset["splits"]["train"]["shards"]:
        assert sha256(one.folder / shard["file"]) == sha256(two.folder / shard["file"]) == shard["sha256"]


def with_places(cells: Cells, dimensions: int) -> Cells:
    random = np.random.default_rng(len(cells))
    return dataclasses.replace(cells, spatial=random.normal(size=(len(cells), dimensions)).astype(np.float32))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_places_are_read_back_with_their_cells(tmp_path: Path, dimensions: int) -> None:
    parts = [with_places(random_cells(cells, seed), dimensions) for cells, seed in ((10, 1), (10, 2), (3, 3))]
    store = write(
        tmp_path / "store", parts, spatial={"dimensions": dimensions, "centre": [0.0] * dimensions, "scale": 1}
    )
    cells = store.read("train")
    assert_same(cells, concatenate(parts))
    expected_NS = np.concatenate([part.spatial for part in parts])
    np.testing.assert_array_equal(cells.spatial, expected_NS)
    assert cells.spatial.dtype == np.float32
    rows = np.array([20, 3, 3])
    np.testing.assert_array_equal(cells.select(rows).spatial, expected_NS[rows])
    assert store.read("test").spatial.shape == (0, dimensions)
    table = pd.read_parquet(store.folder / "train" / "part-00000.parquet")
    np.testing.assert_array_equal(np.stack(table["spatial"]), expected_NS[:20])


def test_a_store_without_places_has_no_column_for_them(tmp_path: Path) -> None:
    store = write(tmp_path / "store", [random_cells(10, 1)])
    assert store.read("train").spatial is None
    assert store.read("test").spatial is None
    assert "spatial" not in pd.read_parquet(store.folder / "train" / "part-00000.parquet")


def test_cells_with_and_without_places_are_not_joined() -> None:
    cells = random_cells(4, 1)
    with pytest.raises(ValueError, match="cannot be joined"):
        concatenate([cells, with_places(cells, 2)])


def test_a_store_that_lost_its_frame_is_refused(tmp_path: Path) -> None:
    store = write(
        tmp_path / "store",
        [with_places(random_cells(5, 1), 2)],
        spatial={"dimensions": 2, "centre": [0.0, 0.0], "scale": 1},
    )
    dataset = {key: value for key, value in store.dataset.items() if key != "spatial"}
    (store.folder / "dataset.json").write_text(json.dumps(dataset))
    with pytest.raises(ExpectedError, match="its columns are"):
        open_store(store.folder).read("train")


def test_pandas_reads_a_shard(tmp_path: Path) -> None:
    cells = random_cells(10, 1)
    store = write(tmp_path / "store", [cells])
    table = pd.read_parquet(store.folder / "train" / "part-00000.parquet")
    assert table.loc[3, "gene_index"].tolist() == cells.indices[cells.indptr[3] : cells.indptr[4]].tolist()
    assert table["cell_type"].tolist() == [CATEGORIES["cell_type"][code] for code in cells.cell_type]
    assert (table["total_counts"] == table["library_size"] + 1).all()
    assert pd.read_parquet(store.folder / "genes.parquet")["gene"].tolist() == GENES


def test_a_failed_writing_leaves_the_previous_store(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    before = write(folder, [random_cells(5, 1)]).read("train")
    with (  # noqa: PT012
        pytest.raises(RuntimeError, match="interrupted"),
        atomic_folder(folder) as partial,
        StoreWriter(partial, GENES, CATEGORIES, 20) as writer,
    ):
        writer.append("train", random_cells(9, 2), np.zeros(9, np.int64))
        raise RuntimeError("interrupted")
    assert_same(open_store(folder).read("train"), before)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_failure_of_the_encoder_is_not_lost(tmp_path: Path) -> None:
    cells = random_cells(5, 1)
    with pytest.raises(Exception, match="length"), StoreWriter(tmp_path, GENES, CATEGORIES, 20) as writer:  # noqa: PT012
        writer.append("train", cells, np.zeros(4, np.int64))
        writer.finish({}, {"control": "control"})


def test_a_missing_store_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ExpectedError, match=r"dataset\.json is missing.*dvc repro --force preprocess"):
        open_store(tmp_path / "store")


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "store", [random_cells(5, 1)]).folder
    dataset = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(dataset | {"schema_version": 2}))
    with pytest.raises(ExpectedError, match="schema version 2, this program reads 1"):
        open_store(folder)


def test_a_store_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExpectedError, match=r"kind 'images', expected 'perturbation'.*preprocess"):
        write(tmp_path / "store", [random_cells(5, 1)], kind="images")


def test_the_covariates_of_a_store_are_those_of_its_kind(tmp_path: Path) -> None:
    """A store of another kind is the same mechanism: its covariates are its categories, and it has no control."""
    folder, cells = tmp_path / "spatial", random_cells(9, 1)
    cells = dataclasses.replace(cells, covariates={"section": cells.batch, "cell_type": cells.cell_type})
    labels = {"section": ["one", "two"], "cell_type": CATEGORIES["cell_type"]}
    with atomic_folder(folder) as partial, StoreWriter(partial, GENES, labels, 20) as writer:
        writer.append("train", cells, cells.library_size)
        writer.finish({}, {"kind": "spatial"})
    with pytest.raises(ExpectedError, match="kind 'spatial', expected 'perturbation'"):
        open_store(folder)
    store = open_store(folder, "spatial")
    found = store.read("train")
    assert store.categories == labels
    assert list(found.covariates) == ["section", "cell_type"]
    for name, codes in cells.covariates.items():
        np.testing.assert_array_equal(found.covariates[name], codes)
    assert list(store.read("test").covariates) == ["section", "cell_type"]
    assert "perturbation" not in pd.read_parquet(folder / "train/part-00000.parquet")


def test_other_codes_leave_the_cells_as_they_were() -> None:
    cells = random_cells(5, 1)
    before = cells.batch.copy()
    other = cells.relabelled(batch=1 - cells.batch)
    np.testing.assert_array_equal(other.batch, 1 - before)
    np.testing.assert_array_equal(cells.batch, before)
    np.testing.assert_array_equal(other.cell_type, cells.cell_type)


def test_a_damaged_description_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "store", [random_cells(5, 1)]).folder
    text = (folder / "dataset.json").read_text()
    (folder / "dataset.json").write_text(text[: len(text) // 2])
    with pytest.raises(ExpectedError, match=r"dataset\.json is damaged"):
        open_store(folder)
    (folder / "dataset.json").write_text('{"schema_version": 1}')
    with pytest.raises(ExpectedError, match="lacks categories, control, genes, splits"):
        open_store(folder)
    (folder / "dataset.json").write_text("[]")
    with pytest.raises(ExpectedError, match="schema version None"):
        open_store(folder)


def test_lost_genes_are_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "store", [random_cells(5, 1)]).folder
    (folder / "genes.parquet").unlink()
    with pytest.raises(ExpectedError, match=r"genes\.parquet cannot be read"):
        open_store(folder)


@pytest.mark.parametrize("damage", ["removed", "truncated", "empty", "flipped", "swapped"])
def test_a_damaged_shard_is_told_by_name(tmp_path: Path, damage: str) -> None:
    store = write(tmp_path / "store", [random_cells(20, 1), random_cells(3, 2)])
    path = store.folder / "train" / "part-00000.parquet"
    content = bytearray(path.read_bytes())
    if damage == "removed":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "flipped":
        content[len(content) // 4] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes((store.folder / "train" / "part-00001.parquet").read_bytes())
    with pytest.raises(ExpectedError, match=r"part-00000\.parquet does not belong to a whole store"):
        store.read("train")


def test_a_label_outside_the_categories_is_told(tmp_path: Path) -> None:
    store = write(tmp_path / "store", [random_cells(20, 1)])
    dataset = store.dataset | {"categories": CATEGORIES | {"cell_type": ["B", "T"]}}
    (store.folder / "dataset.json").write_text(json.dumps(dataset))
    with pytest.raises(ExpectedError, match="its cell_type 'NK' is not in"):
        open_store(store.folder).read("train")


def test_every_split_has_a_folder(tmp_path: Path) -> None:
    store = write(tmp_path / "store", [random_cells(5, 1)])
    assert all((store.folder / split).is_dir() for split in SPLITS)


def of_identity(folder: Path, identity: str, seed: int) -> Store:
    layout = Layout(CATEGORIES, 20, identity=identity)
    with atomic_folder(folder) as partial:
        with ShardWriter(partial / "one", layout) as writer:
            for cells in (random_cells(20, seed), random_cells(20, seed + 1)):
                writer.append("train", cells, cells.library_size)
            parts = [(partial / "one", writer.finish())]
        finish_store(partial, parts, layout, GENES, {}, {"kind": "perturbation", "control": "control"})
    return open_store(folder)


def test_a_shard_of_another_writing_is_refused(tmp_path: Path) -> None:
    """Same columns, same number of cells: only the identity tells them apart."""
    first, second = of_identity(tmp_path / "first", "aaaa", 1), of_identity(tmp_path / "second", "bbbb", 3)
    assert len(first.read("train")) == len(second.read("train")) == 40
    (first.folder / "train/part-00001.parquet").replace(second.folder / "train/part-00001.parquet")
    message = (
        r"^\S+second/train/part-00001\.parquet does not belong to a whole store: it is left from another writing: its "
        r"identity is schema version 1, store aaaa, expected schema version 1, store bbbb; write the store again"
    )
    with pytest.raises(ExpectedError, match=message):
        second.row_groups("train")


def test_a_shard_of_another_schema_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = of_identity(tmp_path / "store", "aaaa", 1)
    with monkeypatch.context() as patched:
        patched.setattr("pipeline.data.store.SCHEMA_VERSION", 2)
        with ShardWriter(tmp_path / "newer", Layout(CATEGORIES, 20, identity="aaaa")) as writer:
            writer.append("train", random_cells(20, 1), random_cells(20, 1).library_size)
            writer.finish()
    (tmp_path / "newer/train/part-00000.parquet").replace(store.folder / "train/part-00000.parquet")
    with pytest.raises(ExpectedError, match="schema version 2, store aaaa, expected schema version 1, store aaaa"):
        store.read("train")


def test_a_store_without_an_identity_takes_no_shard_with_one(tmp_path: Path) -> None:
    store = of_identity(tmp_path / "store", "aaaa", 1)
    dataset = {key: value for key, value in store.dataset.items() if key != "identity"}
    (store.folder / "dataset.json").write_text(json.dumps(dataset))
    with pytest.raises(ExpectedError, match="store aaaa, expected none"):
        open_store(store.folder).read("train")
