"""Neighbourhoods of a section: how many cells, which, where from, and again the same.

The code of a cell's type is its number here, so that a batch tells which cells it holds.
"""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from pipeline.alphastomics.data.neighbourhoods import AllNeighbourhoods, SampledNeighbourhoods, assemble
from pipeline.alphastomics.data.sections import Section
from pipeline.alphastomics.data.standardised import Standard, expression_of
from pipeline.data.cells import Cells, pointers
from pipeline.data.coordinates import Frame

CPU = torch.device("cpu")
GENES = 6


def section(size, code=0, dimensions=2, rate=3.0):
    random = np.random.default_rng([size, code])
    counts = random.poisson(rate, (size, GENES)).astype(np.int32)
    rows, genes = np.nonzero(counts)
    position_NS = random.normal(size=(size, dimensions)).astype(np.float32)
    cells = Cells(
        GENES,
        np.array([f"s{code}c{n}" for n in range(size)], object),
        pointers(np.bincount(rows, minlength=size)),
        genes.astype(np.int32),
        counts[rows, genes],
        {"section": np.full(size, code), "cell_type": np.arange(size)},
        counts.sum(1).astype(np.int64),
        position_NS,
    )
    return Section(f"section {code}", code, cells, position_NS, Frame(dimensions, [0.0] * dimensions, 1.0))


def standard(*sections):
    return Standard.of([one.cells for one in sections])


def source(*sections, cells=20, per_epoch=40, batch_size=8, seed=0, **changes):
    return SampledNeighbourhoods(
        list(sections), standard(*sections), cells, per_epoch, batch_size, CPU, seed, **changes
    )


def members(batch):
    """Section and cells of every neighbourhood."""
    return [
        (int(code), types[real].tolist())
        for code, types, real in zip(batch.section_B, batch.cell_type_BN, batch.mask_BN, strict=True)
    ]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_neighbourhood_has_exactly_its_cells_each_once_and_all_of_them_as_they_are(dimensions):
    sections = [section(50, 0, dimensions), section(200, 1, dimensions)]
    batches = list(source(*sections, per_epoch=21).epoch(0))
    assert [len(batch) for batch in batches] == [8, 8, 5]
    for batch in batches:
        assert batch.x_BNG.shape == (len(batch), 20, GENES)
        assert batch.position_BNS.shape == (len(batch), 20, dimensions)
        assert batch.mask_BN.all()
        for b, (code, rows) in enumerate(members(batch)):
            one = sections[code]
            assert len(set(rows)) == 20
            expected = one.position_NS[rows] - one.position_NS[rows].mean(0)
            np.testing.assert_allclose(batch.position_BNS[b].numpy(), expected, atol=1e-6)
            expected = standard(*sections).of_counts(one.cells.dense(np.array(rows)), one.cells.library_size[rows])
            np.testing.assert_array_equal(batch.x_BNG[b].numpy(), expected)


def windows(one, batches):
    """Of each neighbourhood, the fewest cells around one of the section's that it can have been drawn from."""
    rank_NN = cdist(one.position_NS, one.position_NS).argsort(1).argsort(1)
    return np.array([rank_NN[:, rows].max(1).min() + 1 for batch in batches for _, rows in members(batch)])


def test_windows_are_of_all_sizes_and_hold_their_neighbourhood():
    """Log-uniform from the neighbourhood's size to the section's: the chance of w at most is log(w / 20) / log(20)."""
    one = section(400)
    found = windows(one, source(one, per_epoch=300, scattered=0.0).epoch(0))
    assert found.min() <= 22  # a whole patch of tissue
    for most in (40, 100):
        expected = math.log(most / 20) / math.log(20)
        assert (found <= most).mean() == pytest.approx(expected, abs=0.1)
    assert (found > 200).mean() == pytest.approx(math.log(2) / math.log(20), abs=0.08)


def test_scattered_neighbourhoods_are_drawn_from_the_whole_section():
    one = section(400)
    assert windows(one, source(one, per_epoch=40, scattered=1.0).epoch(0)).min() > 200
    some = windows(one, source(one, per_epoch=300, scattered=0.5).epoch(0))
    assert (some > 200).mean() == pytest.approx(0.5 + 0.5 * math.log(2) / math.log(20), abs=0.08)


@pytest.mark.parametrize("scattered", [0.0, 1.0])
def test_every_cell_is_seen_and_sections_by_their_size(scattered):
    sections = [section(60, 0), section(180, 1)]
    drawn = [
        each for batch in source(*sections, per_epoch=400, scattered=scattered).epoch(0) for each in members(batch)
    ]
    assert np.mean([code for code, _ in drawn]) == pytest.approx(0.75, abs=0.07)
    for code, size in ((0, 60), (1, 180)):
        assert len({row for of, rows in drawn if of == code for row in rows}) == size


def test_validation_sees_every_cell_so_many_times_and_of_large_sections_the_same_share():
    def counts(most):
        every = AllNeighbourhoods([section(60, 0), section(180, 1)], standard(section(60)), 20, 8, CPU, 0, 3, most)
        drawn = [each for batch in every.epoch(0) for each in members(batch)]
        return [np.bincount([row for of, rows in drawn if of == code for row in rows]) for code in (0, 1)]

    for most in (None, 720):
        for seen in counts(most):
            assert set(seen) == {3}
    assert all(set(seen) == {2} for seen in counts(700)), "whole passes"
    small, large = counts(100)  # of 240
    assert (small.sum(), large.sum()) == (25, 75)
    assert max(small.max(), large.max()) == 1


def test_a_section_as_small_as_a_neighbourhood_is_one_and_a_smaller_one_is_refused():
    one = section(20)
    for scattered in (0.0, 1.0):
        for batch in source(one, scattered=scattered).epoch(0):
            assert all(sorted(rows) == list(range(20)) for _, rows in members(batch))
    with pytest.raises(ValueError, match="fewer than 20 cells: section 1"):
        source(section(30, 0), section(19, 1))
    with pytest.raises(ValueError, match="none at all"):
        SampledNeighbourhoods([], standard(one), 20, 1, 1, CPU, 0)


def equal(one, other):
    tensors = ("x_BNG", "position_BNS", "mask_BN", "cell_type_BN", "section_B")
    return one.names == other.names and all(getattr(one, name).equal(getattr(other, name)) for name in tensors)


@pytest.mark.parametrize("thinning", [0.0, 0.8])
def test_minibatches_are_a_function_of_seed_epoch_and_number(thinning):
    one = section(100)
    first = list(source(one, thinning=thinning).epoch(3))
    assert len(first) == len(source(one)) == 5
    again = source(one, thinning=thinning)
    list(again.epoch(1))  # what was drawn before does not matter
    assert all(map(equal, first, again.epoch(3)))
    for start in range(6):
        rest = list(again.epoch(3, start))
        assert len(rest) == 5 - start
        assert all(map(equal, first[start:], rest))
    for other in (again.epoch(4), source(one, thinning=thinning, seed=1).epoch(3)):
        assert not any(map(equal, first, other))
    assert len({tuple(rows) for batch in first for _, rows in members(batch)}) == 40


class Counted:
    """In the place of a standard: counts as they are."""

    mean_G = np.zeros(GENES, np.float32)

    def of_counts(self, counts_BG, library_size_B):
        np.testing.assert_array_equal(counts_BG.sum(1), library_size_B)
        return counts_BG


def test_a_thinned_cell_keeps_between_all_and_the_least_share_of_its_counts():
    one, rng = section(2000, rate=50.0), np.random.default_rng(0)
    counts = one.cells.dense(slice(None))
    found = expression_of(one.cells, slice(None), Counted(), (0.8, rng))
    assert (found <= counts).all()
    assert (found == found.round()).all()
    share_N = found.sum(1) / counts.sum(1)
    assert 0.1 < share_N.min() < 0.25
    assert 0.95 < share_N.max() <= 1
    assert share_N.mean() == pytest.approx(0.6, abs=0.02)  # uniform from 0.2 to 1
    of_gene = found.sum(0) / found.sum()
    np.testing.assert_allclose(of_gene, counts.sum(0) / counts.sum(), rtol=0.02)  # no gene is thinned more
    unthinned = expression_of(one.cells, slice(None), Counted(), (0.0, rng))
    np.testing.assert_array_equal(unthinned, counts)


def test_a_batch_is_padded_to_its_largest_and_padding_holds_nothing():
    one = section(30)
    batch = assemble([(one, np.array([3, 1])), (one, np.arange(5)), (one, np.array([7]))], standard(one), CPU)
    assert batch.mask_BN.tolist() == [[True] * 2 + [False] * 3, [True] * 5, [True] + [False] * 4]
    assert members(batch) == [(0, [3, 1]), (0, [0, 1, 2, 3, 4]), (0, [7])]
    assert (batch.x_BNG[~batch.mask_BN] == 0).all()
    assert (batch.position_BNS[~batch.mask_BN] == 0).all()
    assert (batch.position_BNS[2] == 0).all()  # one cell is its own centre
    assert batch.position_BNS.sum(1).abs().max() < 1e-5
    assert batch.names[0] == "2 cells of section section 0 (s0c3, s0c1, ...)"


@pytest.mark.parametrize("times", [1, 3])
def test_all_neighbourhoods_hold_every_cell_so_many_times(times):
    sections = [section(50, 0), section(13, 1), section(20, 2)]
    every = AllNeighbourhoods(sections, standard(*sections), 20, 4, CPU, seed=0, times=times)
    batches = list(every.epoch(0))
    assert len(batches) == len(every)
    drawn = [each for batch in batches for each in members(batch)]
    assert len(drawn) == times * (3 + 1 + 1)
    assert max(len(rows) for _, rows in drawn) <= 20
    for code, one in enumerate(sections):
        rows = [row for of, rows in drawn if of == code for row in rows]
        assert np.bincount(rows).tolist() == [times] * len(one.cells)
    assert all(map(equal, batches, every.epoch(7)))
    assert all(map(equal, batches[1:], every.epoch(0, start=1)))
    again, other = (AllNeighbourhoods(sections, standard(*sections), 20, 4, CPU, seed, times) for seed in (0, 1))
    assert all(map(equal, batches, again.epoch(0)))
    assert not any(map(equal, batches, other.epoch(0)))
    assert every.names(batches[0]) == batches[0].names
