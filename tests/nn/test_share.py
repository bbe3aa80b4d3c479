"""Shares of a minibatch, as far as they need no other process; tests/training/test_several.py has two."""

import pytest
import torch

from pipeline.nn.share import Share, drawn, everywhere, sharing, total, totals, whole_of


def share(first: int, count: int, whole: int = 5) -> Share:
    return Share("the whole", first, count, whole, rank=0, processes=2)


def draw(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("shape", "axis"), [((5,), 0), ((2, 5, 3), 1), ((15, 2), 0)])
def test_shares_draw_the_rows_of_the_whole(shape, axis):
    expected = draw(shape)
    each = shape[axis] // 5
    found = []
    for first, count in ((0, 2), (2, 3)):
        with sharing(share(first, count)):
            found.append(drawn(draw, (*shape[:axis], each * count, *shape[axis + 1 :]), axis))
    assert torch.equal(torch.cat(found, axis), expected)


def test_rows_that_are_not_equally_many_for_each_example_are_refused():
    with sharing(share(0, 2)), pytest.raises(ValueError, match="3 rows are not equally many for each of 2 examples"):
        drawn(draw, (3,))
    with sharing(share(0, 2)), pytest.raises(ValueError, match="3 rows are not equally many"):
        everywhere(torch.zeros(3, 1))


def test_one_process_gets_back_what_it_gives():
    x = torch.ones(3)
    assert total(x) is x
    assert everywhere(x) == ((x,), slice(None))
    assert totals(x, x) == (x, x)
    assert whole_of(x) is x


def test_the_whole_is_at_hand_in_a_share_and_only_there():
    with sharing(share(0, 2)):
        assert whole_of("a part") == "the whole"
    assert whole_of("a part") == "a part"
