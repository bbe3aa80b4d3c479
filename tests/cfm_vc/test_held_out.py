"""What the evaluation reads: all of the truth, none of it in what is known, and clear refusals."""

import dataclasses

import numpy as np
import pytest

from pipeline.cfm_vc.data.held_out import read_held_out
from pipeline.core.errors import ExpectedError
from pipeline.data.expression import log_normalise


def test_the_truth_is_the_test_split_and_the_rest_is_known(perturbation_store):
    store = perturbation_store()
    held_out = read_held_out(store, most=25, seed=0)
    assert [(group.cell_type, group.perturbation) for group in held_out.groups] == [(2, 1), (0, 2)]
    assert sorted(held_out.known) == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0), (2, 2)]
    assert all(moments.cells == 40 for moments in held_out.known.values())
    for group in held_out.groups:
        assert group.truth.cells == 40
        assert len(group.truth_cells) == 25
        first, second = group.halves
        assert first.cells + second.cells == 40
        assert min(first.cells, second.cells) > 10
        mean_G = (first.cells * first.mean_G + second.cells * second.mean_G) / 40
        np.testing.assert_allclose(mean_G, group.truth.mean_G)
        assert all(name.startswith(f"{group.cell_type}-{group.perturbation}-") for name in group.truth_cells.names)


def test_controls_to_start_from_are_training_controls_of_the_cell_type(perturbation_store):
    store = perturbation_store()
    seen = set(store.read("train").names) | set(store.read("validation").names)
    for group in read_held_out(store, most=1000, seed=0).groups:
        assert len(group.control_cells) == 40
        assert set(group.control_cells.names) == {n for n in seen if n.startswith(f"{group.cell_type}-0-")}


def test_perturbed_cells_come_in_equal_numbers_from_the_other_cell_types(perturbation_store):
    store = perturbation_store()
    drug, toxin = read_held_out(store, most=25, seed=0).groups
    assert len(drug.perturbed_cells) == len(toxin.perturbed_cells) == 25
    assert (drug.perturbed_cells.perturbation == 1).all()
    assert (toxin.perturbed_cells.perturbation == 2).all()
    assert sorted(np.bincount(drug.perturbed_cells.cell_type, minlength=3)) == [0, 12, 13]
    assert drug.perturbed_cells.cell_type.max() == 1  # not T, which is asked about
    assert set(toxin.perturbed_cells.cell_type) == {1, 2}
    assert len(read_held_out(store, most=1000, seed=0).groups[0].perturbed_cells) == 80


def test_shuffling_labels_keeps_sizes_and_cell_types_and_takes_the_effect_away(perturbation_store):
    held_out = read_held_out(perturbation_store(cells_per_group=200), most=25, seed=0)
    assert {group: m.cells for group, m in held_out.shuffled.items()} == {g: m.cells for g, m in held_out.known.items()}
    for cell_type in range(3):
        total, mixed = (
            sum(m.cells * m.mean_G for (c, _), m in known.items() if c == cell_type)
            for known in (held_out.known, held_out.shuffled)
        )
        np.testing.assert_allclose(mixed, total)
    true, mixed = (known[0, 1].mean_G - known[0, 0].mean_G for known in (held_out.known, held_out.shuffled))
    assert np.linalg.norm(mixed) < 0.2 * np.linalg.norm(true)


def test_the_target_is_the_median_library_size_of_training_controls(perturbation_store):
    store = perturbation_store()
    sizes = [store.read(split) for split in ("train", "validation")]
    controls = np.concatenate([cells.library_size[cells.perturbation == 0] for cells in sizes])
    held_out = read_held_out(store, most=25, seed=0)
    assert held_out.target == np.median(controls)
    test = store.read("test")
    mine = (test.cell_type == 2) & (test.perturbation == 1)
    expression = log_normalise(test.dense(mine), test.library_size[mine], held_out.target)
    np.testing.assert_allclose(held_out.groups[0].truth.mean_G, expression.mean(axis=0), rtol=1e-5)


def test_same_seed_same_samples(perturbation_store):
    store = perturbation_store()

    def names(seed):
        return [list(group.truth_cells.names) for group in read_held_out(store, most=25, seed=seed).groups]

    assert names(0) == names(0) != names(1)


def test_a_held_out_group_without_cells_is_refused(perturbation_store):
    store = perturbation_store()
    pair = {"cell_type": "NK", "perturbation": "drug"}
    store = dataclasses.replace(store, dataset={**store.dataset, "held_out": [pair]})
    with pytest.raises(ExpectedError, match=r"held-out group \(NK, drug\) has 0 cells"):
        read_held_out(store, most=25, seed=0)


def test_a_cell_type_without_controls_is_refused(perturbation_store):
    store = perturbation_store()
    store = dataclasses.replace(store, dataset={**store.dataset, "control": "toxin"})  # whose only B cells are held out
    with pytest.raises(ExpectedError, match=r"cell type of held-out group \(B, toxin\) has 0 training controls"):
        read_held_out(store, most=25, seed=0)
