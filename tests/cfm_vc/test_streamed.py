"""Streamed minibatches beside a reference in one screen and beside the resident ones: order, contents, resumption."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.cfm_vc.data.count_batch import CountBatch
from pipeline.cfm_vc.data.resident import ResidentCounts
from pipeline.cfm_vc.data.streamed import StreamedCounts
from pipeline.core.errors import ExpectedError
from pipeline.core.files import atomic_folder
from pipeline.data.cells import Cells, pointers
from pipeline.data.store import Store, open_store
from pipeline.data.store_writer import StoreWriter

CPU = torch.device("cpu")
CELLS, CELLS_PER_ROW_GROUP = 310, 30  # the last row group is short
LABELS = {"perturbation": ["control", "drug"], "cell_type": ["B", "NK", "T"], "batch": ["a", "b"]}


def write_store(folder: Path, cells: int = CELLS) -> Store:
    """Shards of three row groups; every seventh cell has no count."""
    random = np.random.default_rng(0)
    with atomic_folder(folder) as partial, StoreWriter(partial, [f"g{g}" for g in range(9)], LABELS, 90) as writer:
        for start in range(0, cells, CELLS_PER_ROW_GROUP):
            number = np.arange(start, min(cells, start + CELLS_PER_ROW_GROUP))
            counts_NG = random.poisson(1.0, (len(number), 9)) * (number % 7 > 0)[:, None]
            row, gene = np.nonzero(counts_NG)
            block = Cells(
                genes=9,
                names=np.array([f"cell {i}" for i in number], object),
                indptr=pointers(np.bincount(row, minlength=len(number))),
                indices=gene.astype(np.int32),
                counts=counts_NG[row, gene].astype(np.int32),
                covariates={"perturbation": number % 2, "cell_type": number % 3, "batch": number // 2 % 2},
                library_size=counts_NG.sum(1),
            )
            writer.append("train", block, block.library_size)
        writer.finish({}, {"control": "control"})
    return open_store(folder)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(tmp_path_factory.mktemp("streamed") / "store")


def streamed(store: Store, size: int = 32, seed: int | None = 3, pool: int = 70) -> StreamedCounts:
    return StreamedCounts(store, "train", size, CPU, seed, pool)


def rows_of(batches: list[CountBatch]) -> list[int]:
    return torch.cat([batch.rows for batch in batches]).tolist()


def order_by_definition(store: Store, seed: int, epoch: int, pool: int) -> list[int]:
    """The reference: every cell of an epoch in its order, one pool after the other."""
    starts = np.cumsum([0] + [row_group.cells for row_group in store.row_groups("train")])
    waiting = list(np.random.default_rng([seed, epoch, 0]).permutation(len(starts) - 1))
    order: list[int] = []
    pools = 0
    while waiting:
        cells: list[int] = []
        while waiting and len(cells) < pool:
            row_group = waiting.pop(0)
            cells += range(starts[row_group], starts[row_group + 1])
        pools += 1
        order += [cells[place] for place in np.random.default_rng([seed, epoch, pools]).permutation(len(cells))]
    return order


@pytest.mark.parametrize(("size", "pool"), [(32, 1), (32, 120), (7, 90), (31, 10**6), (1000, 60), (1, 1)])
def test_every_cell_comes_once_in_the_order_of_the_definition(store: Store, size: int, pool: int) -> None:
    source = streamed(store, size, pool=pool)
    batches = list(source.epoch(4))
    assert rows_of(batches) == order_by_definition(store, 3, 4, pool)
    assert sorted(rows_of(batches)) == list(range(CELLS))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert len(batches) == len(source) == -(-CELLS // size)


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("size", [7, 32, 200])  # of which the last spans several pools
def test_a_minibatch_is_that_of_the_resident_cells(store: Store, seed: int | None, size: int) -> None:
    resident = ResidentCounts(store.read("train"), size, CPU)
    for batch in streamed(store, size, seed).epoch(0):
        expected = resident.take(batch.rows)
        for name, values in vars(batch).items():
            wanted = getattr(expected, name)
            assert values.dtype == wanted.dtype, name
            assert torch.equal(values, wanted), name


def test_without_a_seed_the_order_is_the_stores(store: Store) -> None:
    assert rows_of(list(streamed(store, seed=None).epoch(5))) == list(range(CELLS))


@pytest.mark.parametrize("seed", [None, 3])
def test_an_epoch_entered_in_the_middle_is_the_rest_of_it(store: Store, seed: int | None) -> None:
    source = streamed(store, 32, seed)
    whole = list(source.epoch(2))
    for start in range(len(whole) + 2):
        rest = list(source.epoch(2, start))
        assert len(rest) == max(0, len(whole) - start)
        for batch, expected in zip(rest, whole[start:], strict=True):
            for name, values in vars(batch).items():
                assert torch.equal(values, getattr(expected, name)), (start, name)


def test_what_lies_before_the_middle_is_not_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    original = Store.read_row_group

    def counted(self: Store, row_group, named: bool = True) -> Cells:
        read.append(row_group.cells)
        return original(self, row_group, named)

    monkeypatch.setattr(Store, "read_row_group", counted)
    rest = list(streamed(store, 31).epoch(0, 8))
    assert sum(map(len, rest)) == CELLS - 248
    assert sum(read) <= CELLS - 248 + 90  # one pool too much at most


def test_the_order_follows_from_seed_and_epoch(store: Store) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return rows_of(list(streamed(store, seed=seed).epoch(epoch)))

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(*each)) for each in ((0, 0), (0, 1), (1, 0), (1, 1))}) == 4


def test_cells_of_a_row_group_are_spread_over_the_pool(store: Store) -> None:
    batches = list(streamed(store, 30, pool=10**6).epoch(0))
    row_groups = [{row // CELLS_PER_ROW_GROUP for row in batch.rows.tolist()} for batch in batches[:-1]]
    assert min(map(len, row_groups)) >= 5


def test_names_are_read_from_the_store(store: Store) -> None:
    source = streamed(store)
    batch = next(source.epoch(0))
    assert source.names(batch) == [f"cell {row}" for row in batch.rows.tolist()]


def test_a_part_of_a_minibatch_is_that_of_the_resident_one(store: Store) -> None:
    """What several processes take of it."""
    resident = ResidentCounts(store.read("train"), 200, CPU)
    for batch in streamed(store, 200).epoch(0):
        expected = resident.take(batch.rows).part(60, 37)
        for name, values in vars(batch.part(60, 37)).items():
            assert torch.equal(values, getattr(expected, name)), name


def test_an_empty_split_has_no_minibatch(store: Store) -> None:
    source = StreamedCounts(store, "test", 32, CPU, 0)
    assert len(source) == 0
    assert list(source.epoch(0)) == []


def test_an_epoch_that_is_left_early_ends_its_thread(store: Store) -> None:
    epoch = streamed(store, 8, pool=1).epoch(0)
    next(epoch)
    epoch.close()


def test_damage_that_shows_in_the_middle_of_an_epoch_is_named(tmp_path: Path) -> None:
    source = streamed(write_store(tmp_path / "store"), 10, seed=None, pool=30)
    shard = tmp_path / "store/train/part-00002.parquet"
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 0xFF
    shard.write_bytes(content)
    epoch = source.epoch(0)
    assert rows_of([next(epoch) for _ in range(18)]) == list(range(180))  # the two shards before
    with pytest.raises(ExpectedError, match=r"part-00002\.parquet does not belong to a whole store: .*CRC"):
        list(epoch)
