"""Sections of the store, and a random share of large ones."""

import numpy as np

from pipeline.alphastomics.data.sections import thinned
from tests.alphastomics.test_neighbourhoods import section


def test_sections_are_thinned_alike_and_small_ones_stay_as_they_are():
    sections = [section(60, 0), section(180, 1)]
    for one, same in zip(sections, thinned(sections, 240, 0), strict=True):
        assert one is same
    few = thinned(sections, 40, 0)
    assert [len(one.cells) for one in few] == [10, 30]
    for one, of in zip(few, sections, strict=True):
        rows = one.cells.cell_type  # the number of the cell, there
        assert (np.diff(rows) > 0).all()
        np.testing.assert_array_equal(one.position_NS, of.position_NS[rows])
        np.testing.assert_array_equal(one.cells.dense(slice(None)), of.cells.dense(rows))
        assert (one.name, one.code, one.frame) == (of.name, of.code, of.frame)
    again = thinned(sections, 40, 0)
    assert [one.cells.names.tolist() for one in again] == [one.cells.names.tolist() for one in few]
    assert thinned(sections, 40, 1)[1].cells.names.tolist() != few[1].cells.names.tolist()
