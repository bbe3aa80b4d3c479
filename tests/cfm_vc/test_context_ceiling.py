"""What other contexts can reach when told the truth: the nearest mixture of their changes, and no nearer."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.context_ceiling import told
from pipeline.cfm_vc.data.held_out import read_held_out


@pytest.fixture
def held_out(perturbation_store):
    return read_held_out(perturbation_store(genes=150), 100, 0)


def with_truth(held_out, group, change_G):
    """The group with this change as its true one."""
    control = held_out.known[group.cell_type, held_out.control]
    return replace(group, truth=replace(group.truth, mean_G=control.mean_G + change_G))


def others_of(held_out, group):
    means = {place: moments.mean_G for place, moments in held_out.known.items()}
    types = [t for t, label in means if label == group.perturbation and t != group.cell_type]
    return [means[t, group.perturbation] - means[t, held_out.control] for t in types]


def test_a_change_that_is_a_mixture_of_the_others_is_found(held_out):
    group = held_out.groups[0]
    first_G, second_G = others_of(held_out, group)
    control_G = held_out.known[group.cell_type, held_out.control].mean_G
    change_G = 0.7 * first_G - 0.2 * second_G + 0.1 * control_G + 0.05
    found = told(held_out, with_truth(held_out, group, change_G))
    np.testing.assert_allclose(found.mixture_G, np.maximum(change_G, -control_G), atol=1e-6)
    assert found.anew["pearson_change_top100"] == pytest.approx(1)


def test_no_other_mixture_is_nearer_and_what_is_of_this_type_alone_is_not_reached(held_out):
    group = held_out.groups[0]
    found = told(held_out, group)
    error = np.sum((found.mixture_G - found.true_G) ** 2)
    for other_G in (*others_of(held_out, group), np.mean(others_of(held_out, group), axis=0)):
        assert error <= np.sum((other_G - found.true_G) ** 2)
    alone_G = found.true_G + 3 * (np.arange(len(found.true_G)) % 2)  # every second gene rises here alone
    of_its_own = told(held_out, with_truth(held_out, group, alone_G))
    assert of_its_own.anew["pearson_change"] < 0.5 * found.anew["pearson_change"]


def test_a_perturbation_of_no_other_context_has_no_mixture(held_out):
    group = held_out.groups[0]
    known = {place: moments for place, moments in held_out.known.items() if place[1] != group.perturbation}
    with pytest.raises(ValueError, match="another context"):
        told(replace(held_out, known=known), group)
