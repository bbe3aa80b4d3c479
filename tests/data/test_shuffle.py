"""Cells enter the store in an order that has forgotten the file's."""

import numpy as np
import pytest

from pipeline.data import shuffle
from pipeline.data.cells import Cells, concatenate
from pipeline.data.shuffle import ShuffleBuffer, random_runs


def numbered(start: int, stop: int) -> tuple[Cells, np.ndarray]:
    """Cell i has the count i + 1 of gene i % 5."""
    number = np.arange(start, stop)
    zero = np.zeros(len(number), np.int64)
    names = np.array([f"cell {i}" for i in number], object)
    indptr = np.arange(len(number) + 1)
    indices, counts = (number % 5).astype(np.int32), (number + 1).astype(np.int32)
    places = np.stack([number, -number], axis=1).astype(np.float32)
    covariates = dict.fromkeys(("perturbation", "cell_type", "batch"), zero)
    return Cells(5, names, indptr, indices, counts, covariates, number + 1, places), number + 1


def shuffled(cells: int, row_group: int, seed: int = 0) -> list[tuple[Cells, np.ndarray]]:
    rng = np.random.default_rng(seed)
    emitted: list[tuple[Cells, np.ndarray]] = []
    buffer = ShuffleBuffer(row_group, 1.0, rng, lambda *args: emitted.append(args))
    for start, stop in random_runs(cells, rng):
        buffer.add(*numbered(start, stop))
    buffer.flush()
    return emitted


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shuffle, "CELLS_PER_RUN", 10)
    monkeypatch.setattr(shuffle, "CELLS_PER_BUFFER", 200)


@pytest.mark.parametrize(("cells", "row_group"), [(1003, 50), (1003, 64), (7, 50), (400, 400), (401, 300)])
def test_every_cell_comes_out_once_with_what_belongs_to_it(cells: int, row_group: int) -> None:
    emitted = shuffled(cells, row_group)
    together = concatenate([part for part, _ in emitted])
    assert sorted(together.counts.tolist()) == list(range(1, cells + 1))
    assert together.names.tolist() == [f"cell {count - 1}" for count in together.counts]
    np.testing.assert_array_equal(together.library_size, together.counts)
    np.testing.assert_array_equal(together.spatial[:, 0], together.counts - 1)
    np.testing.assert_array_equal(together.spatial[:, 1], 1 - together.counts)
    np.testing.assert_array_equal(np.concatenate([counts for _, counts in emitted]), together.counts)
    assert [len(part) for part, _ in emitted[:-1]] == [row_group] * (len(emitted) - 1)


def test_a_row_group_holds_cells_from_all_over_the_file() -> None:
    for part, _ in shuffled(1000, 50)[:-1]:
        places = part.counts / 1000
        assert places.max() - places.min() > 0.5  # 0.05 in the order of the file
        assert len({count // 10 for count in part.counts.tolist()}) > 10


def test_the_order_follows_from_the_seed() -> None:
    orders = [concatenate([part for part, _ in shuffled(300, 50, seed)]).counts.tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_a_split_that_takes_few_cells_of_a_run_needs_a_small_buffer() -> None:
    emitted: list[int] = []
    buffer = ShuffleBuffer(20, 0.2, np.random.default_rng(0), lambda cells, _: emitted.append(len(cells)))
    for start in range(0, 70, 2):
        buffer.add(*numbered(start, start + 2))
    assert emitted == [20, 20], "full at 40 cells, which stem from as many runs as 200 of a split that takes all"


def test_deep_cells_fill_the_buffer_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shuffle, "ENTRIES_PER_BUFFER", 30)
    emitted: list[int] = []
    buffer = ShuffleBuffer(20, 1.0, np.random.default_rng(0), lambda cells, _: emitted.append(len(cells)))
    for start in range(0, 40, 10):
        buffer.add(*numbered(start, start + 10))
    assert emitted == [20], "full at 30 entries, of which one row group is whole"
