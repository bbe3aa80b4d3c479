"""Splitting sections of tissue: whole sections or whole blocks, a margin that holds, one message where it cannot be."""

from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from pipeline.alphastomics.data.section_splits import (
    DROPPED,
    MARGIN,
    TEST,
    TRAIN,
    VALIDATION,
    SectionSplit,
    assign_cells,
    block_numbers,
    block_side,
    leave_margin,
)
from pipeline.core.errors import ExpectedError

SECTIONS = ["s1", "s2", "s3"]
EACH = 600


def rule(**changes: Any) -> SectionSplit:
    values = {
        "test_sections": [],
        "validation_sections": [],
        "blocks_per_side": 5,
        "test_share": 0.2,
        "validation_share": 0.15,
        "margin": 0.2,
        "seed": 0,
    }
    return SectionSplit(**(values | changes))


def cells(dimensions: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places, sections and which cells are kept: three sections on top of each other, interleaved in the file."""
    random = np.random.default_rng(0)
    places_NS = random.uniform(0, 1, (3 * EACH, dimensions)) * np.array([700.0, 300.0, 200.0])[:dimensions] + 5000
    return places_NS, np.arange(3 * EACH) % 3, random.random(3 * EACH) < 0.9


def assigned(dimensions: int = 2, **changes: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    places_NS, section_N, kept_N = cells(dimensions)
    return assign_cells(rule(**changes), places_NS, section_N, SECTIONS, kept_N), places_NS, section_N, kept_N


def refused(**changes: Any) -> str:
    with pytest.raises(ExpectedError) as caught:
        assigned(**changes)
    return str(caught.value)


def test_whole_sections_are_held_out():
    split_N, _, section_N, kept_N = assigned(test_sections=["s2"], validation_sections=["s3"])
    expected_N = np.where(kept_N, np.array([TRAIN, TEST, VALIDATION])[section_N], DROPPED)
    np.testing.assert_array_equal(split_N, expected_N)


def test_a_test_section_leaves_validation_to_blocks_of_the_others():
    split_N, _, section_N, kept_N = assigned(test_sections=["s2"])
    assert (split_N[(section_N == 1) & kept_N] == TEST).all()
    assert not (split_N[section_N != 1] == TEST).any()
    for section in (0, 2):
        share = (split_N == VALIDATION)[(section_N == section) & kept_N].mean()
        assert 0.08 < share < 0.22


def test_a_validation_section_leaves_test_to_blocks_of_the_others():
    split_N, _, section_N, kept_N = assigned(validation_sections=["s1"])
    assert (split_N[(section_N == 0) & kept_N] == VALIDATION).all()
    assert not (split_N[section_N != 0] == VALIDATION).any()
    assert {TRAIN, TEST, MARGIN} <= set(split_N[section_N == 1])


@pytest.mark.parametrize("dimensions", [2, 3])
def test_blocks_stay_whole_and_have_the_share_asked_for(dimensions):
    split_N, places_NS, section_N, kept_N = assigned(dimensions, margin=0.0)
    assert not (split_N == MARGIN).any()
    for section in range(3):
        rows = np.flatnonzero((section_N == section) & kept_N)
        block_N = block_numbers(places_NS[rows], 5)
        for block in np.unique(block_N):
            assert len(set(split_N[rows][block_N == block])) == 1, "a block is in one split"
        largest = np.bincount(block_N).max() / len(rows)
        assert np.mean(split_N[rows] == TEST) == pytest.approx(0.2, abs=largest)
        assert np.mean(split_N[rows] == VALIDATION) == pytest.approx(0.15, abs=largest)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("margin", [0.1, 0.35])
def test_the_margin_holds_and_takes_no_more_than_it_must(dimensions, margin):
    without, places_NS, section_N, kept_N = assigned(dimensions, margin=0.0)
    split_N = assigned(dimensions, margin=margin)[0]
    assert (split_N == MARGIN).any()
    np.testing.assert_array_equal(split_N == TEST, without == TEST)
    for section in range(3):
        rows = np.flatnonzero((section_N == section) & kept_N)
        distance = margin * block_side(places_NS[rows], 5)
        parts = {number: rows[split_N[rows] == number] for number in (TRAIN, VALIDATION, TEST)}
        for one, other in ((TRAIN, VALIDATION), (TRAIN, TEST), (VALIDATION, TEST)):
            assert cdist(places_NS[parts[one]], places_NS[parts[other]]).min() >= distance
        for cell in rows[split_N[rows] == MARGIN]:  # each had a reason to go
            other = [parts[TEST]] if without[cell] == VALIDATION else [parts[TEST], parts[VALIDATION]]
            assert cdist(places_NS[[cell]], places_NS[np.concatenate(other)]).min() < distance


def test_cells_at_the_very_distance_stay():
    places_NS = np.array([[0.0, 0.0], [3.0, 0.0], [2.999, 0.0], [50.0, 0.0]])
    split_N = np.array([TEST, TRAIN, TRAIN, TRAIN], np.int8)
    leave_margin(places_NS, split_N, 3.0)
    assert split_N.tolist() == [TEST, TRAIN, MARGIN, TRAIN]


def test_sections_that_overlap_in_their_coordinates_keep_no_margin_to_each_other():
    """The coordinates of two sections have nothing to do with each other."""
    split_N, _, _, kept_N = assigned(test_sections=["s2"], validation_sections=["s3"], margin=10.0)
    assert not (split_N == MARGIN).any()
    assert (split_N[kept_N] >= 0).all()


def test_dropped_cells_count_nowhere():
    places_NS, section_N, kept_N = cells()
    moved_NS = np.where(kept_N[:, None], places_NS, 1e6)
    expected_N = assign_cells(rule(), places_NS, section_N, SECTIONS, kept_N)
    np.testing.assert_array_equal(assign_cells(rule(), moved_NS, section_N, SECTIONS, kept_N), expected_N)
    assert ((expected_N == DROPPED) == ~kept_N).all()


def test_the_seed_alone_chooses_the_blocks():
    np.testing.assert_array_equal(assigned()[0], assigned()[0])
    assert (assigned()[0] != assigned(seed=1)[0]).any()


def test_blocks_are_squares_of_the_longest_extent():
    places_NS = np.array([[0.0, 0.0], [9.9, 0.0], [10.1, 0.0], [40.0, 12.0], [0.0, 9.0]])
    assert block_side(places_NS, 4) == 10
    numbers = block_numbers(places_NS, 4)
    assert numbers[0] == numbers[1] == numbers[4]
    assert len(set(numbers.tolist())) == 3
    assert set(numbers.tolist()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"test_sections": ["S2"]}, "test_sections: no section is called 'S2'; did you mean 's"),
        ({"validation_sections": ["brain"]}, "no section is called 'brain'; there are: s1, s2, s3"),
        ({"test_sections": ["s1"], "validation_sections": ["s1"]}, "'s1' is both a test and a validation section"),
        ({"test_sections": ["s1", "s1"]}, "test_sections: 's1' is given twice"),
        ({"test_sections": ["s1", "s2"], "validation_sections": ["s3"]}, "no section of 3 is left to train on"),
        ({"test_sections": ["s1", "s2", "s3"]}, "no section of 3 is left to train on"),
        ({"blocks_per_side": 1}, "section 's1' has cells in 1 block, too few"),
        ({"margin": 20.0}, "no cells are left for train and validation, and"),
    ],
)
def test_splits_that_cannot_be_are_told(changes, words):
    message = refused(**changes)
    assert words in message
    assert "alphastomics.preprocess" in message


def test_all_problems_with_names_are_told_at_once():
    message = refused(test_sections=["s4", "s1"], validation_sections=["s1", "x"])
    for words in ("'s4'", "'x'", "'s1' is both"):
        assert words in message


@pytest.mark.parametrize("key", ["test_sections", "validation_sections"])
def test_one_section_cannot_be_split_by_sections(key):
    places_NS, section_N, kept_N = cells()
    with pytest.raises(ExpectedError, match="there is one section where two are needed, 's1': to split it by blocks"):
        assign_cells(rule(**{key: ["s1"]}), places_NS, 0 * section_N, ["s1"], kept_N)
    by_blocks = assign_cells(rule(), places_NS, 0 * section_N, ["s1"], kept_N)
    assert {TRAIN, VALIDATION, TEST} <= set(by_blocks.tolist())


def test_two_blocks_are_enough_for_one_split_and_not_for_two():
    places_NS = np.array([[0.0, 0.0], [1.0, 0.0], [9.0, 1.0], [10.0, 1.0]] * 2) + np.arange(8)[:, None] * 1e-3
    section_N = np.repeat([0, 1], 4)
    kept_N = np.ones(8, bool)
    split = rule(blocks_per_side=2, margin=0.0, test_sections=["b"])
    assert set(assign_cells(split, places_NS, section_N, ["a", "b"], kept_N)[:4]) == {TRAIN, VALIDATION}
    with pytest.raises(ExpectedError, match=r"section 'a' has cells in 2 blocks, too few .* for test and validation"):
        assign_cells(rule(blocks_per_side=2, margin=0.0), places_NS, section_N, ["a", "b"], kept_N)


def test_what_is_kept_of_the_split_says_how_it_was_made():
    assert rule(test_sections=["s2"]).described() == {
        "test": {"by": "sections", "sections": ["s2"]},
        "validation": {"by": "blocks", "share": 0.15},
        "blocks_per_side": 5,
        "margin": 0.2,
    }
    both = rule(test_sections=["s2"], validation_sections=["s1"]).described()
    assert "margin" not in both
