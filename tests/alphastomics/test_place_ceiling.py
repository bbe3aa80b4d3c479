"""Which cells a regression knows when it places those of the held-out section."""

import numpy as np
import pytest

from benchmarks.place_ceiling import METHODS, PARTS, in_turns, joined
from pipeline.alphastomics.model.baselines import Query, Reference

CELLS = 200


def section(shift=0.0):
    """Expression tells the place, but for its noise and a shift of the section."""
    random = np.random.default_rng(0)
    place_NS = random.uniform(-1, 1, (CELLS, 2))
    x_NG = place_NS @ random.normal(size=(2, 12)) + 0.1 * random.normal(size=(CELLS, 12)) + shift
    return Reference(x_NG.astype(np.float32), place_NS, np.zeros(CELLS, np.int64))


@pytest.mark.parametrize("others", [None, section(9.0)], ids=["itself", "both"])
def test_every_cell_is_asked_about_once_and_never_from_itself(others):
    own, asked = section(), []

    def method(reference, query):
        known = {row.tobytes() for row in reference.expression_NG}
        assert not known & {row.tobytes() for row in query.expression_MG}
        assert len(known) == CELLS * (PARTS - 1) // PARTS + (0 if others is None else CELLS)
        asked.append(len(query.expression_MG))
        return query.expression_MG[:, :2]

    placed = in_turns(method, own, others)
    assert (sum(asked), len(asked)) == (CELLS, PARTS)
    np.testing.assert_array_equal(placed, own.expression_NG[:, :2])


@pytest.mark.parametrize("name", METHODS)
def test_cells_of_the_section_itself_tell_what_a_shifted_one_does_not(name):
    own, other = section(), section(3.0)
    error = {
        "others": METHODS[name](joined([other]), Query(own.expression_NG, None, None, 0)) - own.position_NS,
        "itself": in_turns(METHODS[name], own) - own.position_NS,
    }
    assert np.mean(error["itself"] ** 2) < 0.1 < np.mean(error["others"] ** 2)
