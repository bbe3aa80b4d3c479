"""Sections of the store, and a random share of large ones."""

import numpy as np
import pytest

from pipeline.alphastomics.data.sections import known_types, read_sections
from pipeline.data.columns import UNKNOWN_TYPE
from pipeline.data.store import open_store


@pytest.fixture
def store(tissue_project):
    (folder,) = (tissue_project / "data/processed/alphastomics").glob("*/*")
    return open_store(folder, "spatial")


def test_a_share_of_the_cells_is_of_every_section_and_at_random(store):
    whole, some = read_sections(store, "train"), read_sections(store, "train", 0.5, seed=1)
    assert [one.name for one in some] == [one.name for one in whole]
    for one, of in zip(some, whole, strict=True):
        assert len(one.cells) / len(of.cells) == pytest.approx(0.5, abs=0.15)
        row_of = {name: row for row, name in enumerate(of.cells.names)}
        rows = np.array([row_of[name] for name in one.cells.names])
        assert (np.diff(rows) > 0).all()
        np.testing.assert_array_equal(one.position_NS, of.position_NS[rows])
        np.testing.assert_array_equal(one.cells.dense(slice(None)), of.cells.dense(rows))
    again, other = (read_sections(store, "train", 0.5, seed)[0].cells.names.tolist() for seed in (1, 2))
    assert again == some[0].cells.names.tolist() != other


class Untyped:
    """A store in which one of the types stands for a missing one."""

    def __init__(self, store, label):
        types = ["unknown" if name == label else name for name in store.categories["cell_type"]]
        self.store, self.categories = store, {**store.categories, "cell_type": types}

    def __getattr__(self, name):
        return getattr(self.store, name)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_cells_of_a_missing_type_are_of_no_type(store, share):
    label = store.categories["cell_type"][1]
    for typed, one in zip(
        read_sections(store, "train", share), read_sections(Untyped(store, label), "train", share), strict=True
    ):
        missing = typed.cells.cell_type == 1
        assert missing.any()
        assert (one.cells.cell_type[missing] == UNKNOWN_TYPE).all()
        np.testing.assert_array_equal(one.cells.cell_type[~missing], typed.cells.cell_type[~missing])


def test_where_no_type_is_missing_codes_are_as_they_were():
    codes = np.arange(3)
    assert known_types(codes, ["a", "b", "c"]) is codes
    assert known_types(codes, ["a", "unknown", "z"]).tolist() == [0, UNKNOWN_TYPE, 2]


def test_a_share_of_one_or_more_is_all(store):
    for one, of in zip(read_sections(store, "train", 3.0), read_sections(store, "train"), strict=True):
        assert one.cells.names.tolist() == of.cells.names.tolist()
