"""Masks with exact counts; the strategies' promises checked cell by cell."""

import pytest
import torch

from pipeline.alphastomics.model.masking import hidden, hidden_count

SHAPES = [(1, 1, 1), (2, 3, 2), (1, 4, 3), (3, 2, 5), (2, 7, 10), (2, 3, 33), (1, 5, 512)]
SHARES = [0.0, 0.01, 0.1, 0.3, 0.33, 0.5, 0.99, 1.0]
STRATEGIES = ["random", "block", "structured"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("share", "of", "expected"),
    [(0.3, 10, 3), (0.3, 512, 154), (0.3, 5, 2), (0.5, 5, 3), (0.5, 4, 2), (0.3, 1, 0), (0, 9, 0), (1, 9, 9)],
)
def test_the_count_is_the_share_rounded_half_up(share, of, expected):
    assert hidden_count(share, of) == expected


@pytest.mark.parametrize(
    ("share", "of", "expected"), [(0.33, 2, 1), (0.33, 3, 1), (0.1, 2, 1), (0, 2, 0), (0.67, 3, 2), (1, 3, 3)]
)
def test_a_share_of_the_position_hides_one_dimension_at_the_fewest(share, of, expected):
    assert hidden_count(share, of, least=1) == expected
    mask = hidden("random", (2, 50, of), share, generator(), least=1)
    assert (mask.sum(dim=-1) == expected).all()


@pytest.mark.parametrize(("share", "of", "least"), [(-0.1, 3, 0), (1.1, 3, 0), (float("nan"), 3, 0), (0.5, 3, 4)])
def test_shares_that_cannot_be_are_refused(share, of, least):
    with pytest.raises(ValueError, match="share"):
        hidden_count(share, of, least)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_cell_hides_exactly_its_count(strategy, share, shape):
    expected = int(share * shape[2] + 0.5)
    for seed in range(5):
        mask = hidden(strategy, shape, share, generator(seed))
        assert mask.shape == shape
        assert mask.dtype == torch.bool
        assert (mask.sum(dim=-1) == expected).all()


def test_random_hides_other_genes_in_each_cell_and_every_gene_as_often():
    mask = hidden("random", (4, 5000, 10), 0.3, generator())
    assert len(mask[0].unique(dim=0)) == 120  # all ways of choosing 3 of 10
    often = mask.float().mean(dim=(0, 1))
    assert (often - 0.3).abs().max() < 0.02


def test_a_block_is_one_run_that_wraps_and_the_same_for_the_neighbourhood():
    mask = hidden("block", (400, 3, 10), 0.3, generator())
    assert (mask == mask[:, :1]).all()
    starts = set()
    for row in mask[:, 0].tolist():
        runs = [start for start in range(10) if all(row[(start + i) % 10] for i in range(3))]
        assert len(runs) == 1
        starts.add(runs[0])
    assert starts == set(range(10))  # 8 and 9 wrap


def test_structured_hides_the_same_genes_in_the_neighbourhood_and_others_in_the_next():
    mask = hidden("structured", (2000, 3, 10), 0.3, generator())
    assert (mask == mask[:, :1]).all()
    assert len(mask[:, 0].unique(dim=0)) == 120
    assert (mask[:, 0].float().mean(dim=0) - 0.3).abs().max() < 0.04


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_generator_alone_decides(strategy):
    shape = (3, 4, 20)
    assert hidden(strategy, shape, 0.3, generator(1)).equal(hidden(strategy, shape, 0.3, generator(1)))
    assert not hidden(strategy, shape, 0.3, generator(1)).equal(hidden(strategy, shape, 0.3, generator(2)))
