"""Whole groups are held out; what cannot be held out, or learned from, is told in full."""

import numpy as np
import pytest

from pipeline.cfm_vc.data.splits import DROPPED, TEST, TRAIN, VALIDATION, Groups, assign, check_groups, find_held_out
from pipeline.core.errors import ExpectedError
from pipeline.data.doses import one_treatment_each

CELL_TYPES = ["B cell", "NK cell", "T cell"]
PERTURBATIONS = ["control", "drug", "heat"]
DOSES = one_treatment_each(PERTURBATIONS, "control")


def groups_of(sizes: dict[tuple[int, int], int], shuffle: bool = True) -> Groups:
    pairs = np.array([group for group, cells in sizes.items() for _ in range(cells)])
    if shuffle:
        pairs = np.random.default_rng(0).permutation(pairs)
    return Groups(
        pairs[:, 0].astype(np.uint8), pairs[:, 1].astype(np.uint8), CELL_TYPES, PERTURBATIONS, "control", DOSES
    )


def full(cells: int = 20) -> dict[tuple[int, int], int]:
    return {(c, p): cells for c in range(3) for p in range(3)}


def all_of(groups: Groups) -> np.ndarray:
    return np.ones(len(groups.cell_type_N), bool)


def test_sizes_agree_with_counting() -> None:
    sizes = {(0, 0): 3, (1, 2): 5, (2, 1): 1}
    counted = groups_of(sizes).sizes()
    assert {group: int(counted[group]) for group in sizes} == sizes
    assert counted.sum() == 9


def test_held_out_groups_are_the_test_set_whole_and_alone() -> None:
    groups = groups_of(full())
    held_out = find_held_out(groups, [("T cell", "drug"), ("B cell", "heat")])
    split_N = assign(groups, all_of(groups), held_out, 0.1, seed=0)
    in_test = groups.sizes(split_N == TEST)
    assert in_test[2, 1] == in_test[0, 2] == 20
    assert in_test.sum() == 40


def test_a_cell_type_alone_is_held_out_under_all_its_perturbations():
    groups = groups_of(full())
    expected = [("B cell", label) for label in groups.perturbations if label != groups.control]
    assert find_held_out(groups, [("B cell", None)]) == find_held_out(groups, expected)


def test_every_training_group_gives_its_share_to_validation() -> None:
    groups = groups_of({(0, 0): 200, (1, 0): 40, (2, 0): 2, (0, 1): 1, (1, 1): 3})
    split_N = assign(groups, all_of(groups), [], 0.25, seed=0)
    validation = groups.sizes(split_N == VALIDATION)
    assert validation[0, 0] == 50
    assert validation[1, 0] == 10
    assert validation[2, 0] == 1, "at least one"
    assert validation[0, 1] == 0, "but never all"
    assert validation[1, 1] == 1
    assert (groups.sizes(split_N == TRAIN) + validation == groups.sizes()).all()


def test_dropped_cells_are_in_no_split() -> None:
    groups = groups_of(full())
    kept_N = np.random.default_rng(1).random(180) < 0.5
    held_out = [(0, 1)]
    split_N = assign(groups, kept_N, held_out, 0.2, seed=0)
    assert ((split_N == DROPPED) == ~kept_N).all()
    assert (groups.sizes(split_N == TEST)[0, 1]) == groups.sizes(kept_N)[0, 1]


def test_the_seed_decides_which_cells_validate() -> None:
    groups = groups_of(full())
    splits = [assign(groups, all_of(groups), [(0, 1)], 0.1, seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(splits[0], splits[1])
    assert (splits[0] != splits[2]).any()
    np.testing.assert_array_equal(splits[0] == TEST, splits[2] == TEST)


def test_unknown_labels_are_all_named_with_close_ones() -> None:
    with pytest.raises(ExpectedError) as caught:
        find_held_out(groups_of(full()), [("t cells", "drug"), ("B cell", "Head"), ("plasma", "cold")])
    message = str(caught.value)
    assert "held_out[0] = (t cells, drug): no cell has cell_type 't cells'; did you mean 'T cell'" in message
    assert "no cell has perturbation 'Head'; did you mean 'heat'?" in message
    assert "no cell has cell_type 'plasma'; there are: B cell, NK cell, T cell" in message
    assert "no cell has perturbation 'cold'" in message


def test_what_cannot_be_held_out() -> None:
    sizes = full()
    del sizes[1, 2]
    with pytest.raises(ExpectedError) as caught:
        find_held_out(
            groups_of(sizes), [("B cell", "control"), ("NK cell", "heat"), ("T cell", "drug"), ("T cell", "drug")]
        )
    message = str(caught.value)
    assert "(B cell, control): 'control' is the control" in message
    assert "(NK cell, heat): no cell of this type has this perturbation" in message
    assert "held_out[3] = (T cell, drug): given twice" in message
    assert "held_out[2]" not in message


def test_small_groups_are_all_listed_with_advice() -> None:
    groups = groups_of(full(20) | {(0, 1): 4, (2, 2): 3}, shuffle=False)
    kept_N = all_of(groups)
    kept_N[:18] = False  # of the first group, which filtering reduced
    with pytest.raises(ExpectedError) as caught:
        check_groups(groups, kept_N, [], 5)
    message = str(caught.value)
    assert message.startswith("3 group(s) have fewer than 5 cells after filtering")
    assert "(B cell, control): 2 of 20 cells kept" in message
    assert "(B cell, drug): 4 of 4 cells kept" in message
    assert "(T cell, heat): 3 of 3 cells kept" in message
    assert "lower cfm_vc.preprocess.min_cells_per_group to 2" in message
    assert "lower cfm_vc.preprocess.min_counts_per_cell" in message


def test_a_group_of_one_cell_gets_no_advice_that_would_be_refused() -> None:
    groups = groups_of(full(20) | {(0, 1): 1})
    with pytest.raises(ExpectedError) as caught:
        check_groups(groups, all_of(groups), [], 5)
    assert "(B cell, drug): 1 of 1 cells kept" in str(caught.value)
    assert "min_cells_per_group to" not in str(caught.value)


def test_groups_that_never_occurred_are_no_problem() -> None:
    sizes = full()
    del sizes[1, 2]
    groups = groups_of(sizes)
    check_groups(groups, all_of(groups), [(0, 1)], 20)


def test_a_held_out_cell_type_needs_controls() -> None:
    sizes = full()
    del sizes[2, 0]
    groups = groups_of(sizes)
    with pytest.raises(ExpectedError, match=r"\(T cell, drug\): its cell type has no 'control' cells"):
        check_groups(groups, all_of(groups), [(2, 1)], 5)


SCREEN = {
    "control": {},
    "A@1": {"A": 1.0},
    "A@10": {"A": 10.0},
    "B@1": {"B": 1.0},
    "A+B@1": {"A": 1.0, "B": 1.0},
    "B+C@1": {"B": 1.0, "C": 1.0},
}


def screen() -> Groups:
    """Two cell types under everything of SCREEN."""
    pairs = np.array([(c, p) for c in range(2) for p in range(len(SCREEN)) for _ in range(9)])
    return Groups(pairs[:, 0], pairs[:, 1], CELL_TYPES[:2], list(SCREEN), "control", SCREEN)


def everywhere(*labels: str) -> list[tuple[int, int]]:
    return [(c, list(SCREEN).index(label)) for label in labels for c in range(2)]


@pytest.mark.parametrize(
    "labels", [["A+B@1"], ["A@10"], ["A@1", "A@10"], ["B@1"], ["A+B@1", "B@1"], ["A@1", "A+B@1", "B@1"]]
)
def test_what_is_learned_at_another_dose_or_in_another_combination_may_be_held_out_everywhere(labels) -> None:
    check_groups(screen(), all_of(screen()), everywhere(*labels), 5)


@pytest.mark.parametrize(
    ("labels", "unlearned"),
    [
        (["B+C@1"], "'C'"),
        (["A@1", "A@10", "A+B@1"], "'A'"),
        (["B@1", "A+B@1", "B+C@1"], "'B' or 'C'"),
    ],
)
def test_a_treatment_that_is_left_nowhere_is_named(labels, unlearned) -> None:
    with pytest.raises(ExpectedError) as caught:
        check_groups(screen(), all_of(screen()), everywhere(*labels), 5)
    where = f"(NK cell, {labels[-1]}): no training group contains {unlearned}"
    assert where in str(caught.value)


def test_nothing_need_be_held_out() -> None:
    groups = groups_of(full())
    assert find_held_out(groups, []) == []
    check_groups(groups, all_of(groups), [], 5)
    split_N = assign(groups, all_of(groups), [], 0.1, seed=0)
    assert set(split_N) == {TRAIN, VALIDATION}


def test_a_held_out_cell_type_that_is_a_word_for_none_is_the_unknown_one() -> None:
    pairs = np.repeat([(c, p) for c in range(2) for p in range(3)], 5, axis=0)
    groups = Groups(pairs[:, 0], pairs[:, 1], ["B cell", "unknown"], PERTURBATIONS, "control", DOSES)
    assert find_held_out(groups, [("Unassigned", "drug"), ("unknown", "heat")]) == [(1, 1), (1, 2)]
    assert groups.labels((1, 1)) == {"cell_type": "unknown", "perturbation": "drug"}
    with pytest.raises(ExpectedError, match=r"\(NA, drug\): given twice"):
        find_held_out(groups, [("unknown", "drug"), ("NA", "drug")])
    with pytest.raises(ExpectedError, match="no cell has cell_type 'NA'"):
        find_held_out(groups_of(full()), [("NA", "drug")])


def test_in_one_cell_type_a_perturbation_cannot_be_held_out() -> None:
    pairs = np.repeat([(0, p) for p in range(3)], 9, axis=0)
    groups = Groups(pairs[:, 0], pairs[:, 1], ["K562"], PERTURBATIONS, "control", DOSES)
    with pytest.raises(ExpectedError) as caught:
        check_groups(groups, all_of(groups), [(0, 1)], 5)
    assert str(caught.value) == (
        "held_out of the study cannot be predicted:\n"
        "  (K562, drug): no training group contains 'drug'\n"
        "Perturbations are one-hot here: a treatment is known by its own cells alone, so a whole perturbation cannot "
        "be predicted. There is one cell type, 'K562'. In params.yaml: set held_out of the study to [], which "
        "trains on all cells and makes no test set."
    )
    check_groups(groups, all_of(groups), [], 5)


def test_in_one_cell_type_a_dose_or_a_combination_can_be_held_out() -> None:
    pairs = np.repeat([(0, p) for p in range(len(SCREEN))], 9, axis=0)
    groups = Groups(pairs[:, 0], pairs[:, 1], ["K562"], list(SCREEN), "control", SCREEN)
    check_groups(groups, all_of(groups), [(0, list(SCREEN).index("A@10"))], 5)
    with pytest.raises(ExpectedError, match=r"one-hot here.*hold out one of several doses, or a combination.*; or set"):
        check_groups(groups, all_of(groups), [(0, list(SCREEN).index("B+C@1"))], 5)


def test_a_held_out_perturbation_must_be_seen_elsewhere() -> None:
    groups = groups_of(full())
    everywhere = [(c, 1) for c in range(3)]
    with pytest.raises(ExpectedError) as caught:
        check_groups(groups, all_of(groups), everywhere, 5)
    assert str(caught.value).count("no training group contains 'drug'") == 3
    assert str(caught.value).count("Perturbations are one-hot here") == 1
    assert "hold out a perturbation in some of its cell types, never in all of them; or set" in str(caught.value)
    assert "doses" not in str(caught.value)
    check_groups(groups, all_of(groups), everywhere[:2], 5)
