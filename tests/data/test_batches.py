"""Streamed minibatches: every cell once per epoch, well mixed, the same again for the same seed and epoch."""

import numpy as np
import pytest
import torch

from benchmarks.stream_batches import Batch, stream
from pipeline.core.files import atomic_folder
from pipeline.data.cells import Cells
from pipeline.data.store import Store, open_store
from pipeline.data.store_writer import StoreWriter

CELLS_PER_ROW_GROUP = 30
CELLS = 310  # the last row group is short


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Cell i has i + 1 counts of gene 0, and i of its codes follow from i, so that a cell is known by its counts."""
    folder = tmp_path_factory.mktemp("batches") / "store"
    labels = {"perturbation": ["control", "drug"], "cell_type": ["B", "NK", "T"], "batch": ["a", "b"]}
    with atomic_folder(folder) as partial, StoreWriter(partial, ["g0", "g1", "g2"], labels, 90) as writer:
        for start in range(0, CELLS, CELLS_PER_ROW_GROUP):
            number = np.arange(start, min(CELLS, start + CELLS_PER_ROW_GROUP))
            cells = Cells(
                genes=3,
                names=np.array([f"cell {i}" for i in number], object),
                indptr=np.arange(len(number) + 1) * 2,
                indices=np.tile(np.array([0, 2], np.int32), len(number)),
                counts=np.stack([number + 1, np.full_like(number, 7)], axis=1).ravel().astype(np.int32),
                covariates={"perturbation": number % 2, "cell_type": number % 3, "batch": number % 2},
                library_size=number + 8,
            )
            writer.append("train", cells, cells.library_size)
        writer.finish({}, {"control": "control"})
    return open_store(folder)


def cells_of(batches: list[Batch]) -> list[int]:
    return [int(count) - 1 for batch in batches for count in batch.counts_BG[:, 0]]


@pytest.mark.parametrize(("batch_size", "pool"), [(32, 1), (32, 4), (7, 3), (31, 100), (1000, 2)])
def test_every_cell_comes_exactly_once_per_epoch(store: Store, batch_size: int, pool: int) -> None:
    batches = list(stream(store, "train", batch_size, seed=0, epoch=0, row_groups_per_pool=pool))
    assert sorted(cells_of(batches)) == list(range(CELLS))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert len(batches) == -(-CELLS // batch_size)


def test_a_minibatch_holds_what_the_store_holds(store: Store) -> None:
    for batch in stream(store, "train", 32, seed=0, epoch=0, row_groups_per_pool=2):
        number = batch.counts_BG[:, 0].long() - 1
        assert batch.counts_BG.dtype == torch.float32
        assert batch.counts_BG.shape == (len(batch), 3)
        assert torch.equal(batch.counts_BG[:, 1:], torch.tensor([0.0, 7.0]).expand(len(batch), 2))
        assert torch.equal(batch.perturbation_B, number % 2)
        assert torch.equal(batch.cell_type_B, number % 3)
        assert torch.equal(batch.batch_B, number % 2)
        assert torch.equal(batch.library_size_B, number + 8)


def test_the_order_follows_from_seed_and_epoch(store: Store) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return cells_of(list(stream(store, "train", 32, seed, epoch, row_groups_per_pool=2)))

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_cells_of_a_row_group_are_spread_over_the_pool(store: Store) -> None:
    batches = list(stream(store, "train", 30, seed=0, epoch=0, row_groups_per_pool=11))
    row_groups = [{cell // CELLS_PER_ROW_GROUP for cell in cells_of([batch])} for batch in batches[:-1]]
    assert min(map(len, row_groups)) >= 5
    one_by_one = list(stream(store, "train", 30, seed=0, epoch=0, row_groups_per_pool=1))
    assert max(len({cell // CELLS_PER_ROW_GROUP for cell in cells_of([batch])}) for batch in one_by_one) <= 3


def test_a_stream_that_is_left_early_stops_reading(store: Store) -> None:
    batches = stream(store, "train", 8, seed=0, epoch=0, row_groups_per_pool=1)
    next(batches)
    batches.close()


def test_an_empty_split_gives_no_minibatch(store: Store) -> None:
    assert list(stream(store, "test", 32, seed=0, epoch=0)) == []
