"""Sections of the store, and a random share of large ones."""

import numpy as np
import pytest

from pipeline.alphastomics.data.sections import read_sections
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


def test_a_share_of_one_or_more_is_all(store):
    for one, of in zip(read_sections(store, "train", 3.0), read_sections(store, "train"), strict=True):
        assert one.cells.names.tolist() == of.cells.names.tolist()
