import itertools

import numpy as np
import pytest

from pipeline.cfm_vc.model.coupling import OT_BLOCK, couple, draw


def latents(n, seed):
    return np.random.default_rng(seed).standard_normal((n, 3)).astype(np.float32)


def cost(source, target):
    return float(((source - target) ** 2).sum())


def test_ot_is_the_best_of_all_permutations():
    source, target = latents(6, 0), latents(6, 1)
    best = min(cost(source[list(order)], target) for order in itertools.permutations(range(6)))
    assert cost(source[couple(source, target, "ot")], target) == pytest.approx(best)


@pytest.mark.parametrize("n", [1, OT_BLOCK, OT_BLOCK + 1, 3 * OT_BLOCK - 5])
def test_ot_is_a_permutation_inside_each_block(n):
    rows = couple(latents(n, 0), latents(n, 1), "ot")
    assert sorted(rows) == list(range(n))
    assert (rows // OT_BLOCK == np.arange(n) // OT_BLOCK).all()


def test_ot_is_cheaper_than_independent_which_keeps_the_order():
    source, target = latents(200, 0), latents(200, 1) + 1
    independent = couple(source, target, "independent")
    assert (independent == np.arange(200)).all()
    assert cost(source[couple(source, target, "ot")], target) < 0.6 * cost(source[independent], target)


def test_a_population_is_coupled_to_itself_by_standing_still():
    x = latents(50, 0)
    shuffled = np.random.default_rng(1).permutation(50)
    assert (x[shuffled][couple(x[shuffled], x, "ot")] == x).all()


@pytest.mark.parametrize(("pool", "cells"), [(5, 3), (5, 5), (5, 13), (1, 4)])
def test_drawing_uses_the_pool_evenly(pool, cells):
    members = np.arange(10, 10 + pool)
    drawn = draw(members, cells, np.random.default_rng(0))
    uses = np.bincount(drawn - 10, minlength=pool)
    assert len(drawn) == cells
    assert uses.max() - uses.min() <= 1


def test_drawing_depends_on_the_generator_alone():
    draws = [draw(np.arange(50), 30, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()
