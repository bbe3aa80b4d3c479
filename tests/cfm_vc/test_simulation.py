"""The simulated cells: real profiles underneath, a truth that the counts bear out, the same cells every time."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.cfm_vc.data.recipe import Recipe, read_recipe
from pipeline.cfm_vc.data.simulation import Simulation, real_templates, simulate
from pipeline.core.errors import ExpectedError
from pipeline.data.confounding import contingency
from pipeline.params.reading import read_yaml
from pipeline.registry import load_params

RECIPE = Path("data/embedded/perturbation.yaml")


@pytest.fixture(scope="module")
def recipe() -> dict:
    return read_yaml(RECIPE)


def dense(simulation: Simulation) -> np.ndarray:
    x_NG = np.zeros((simulation.recipe.cells, len(simulation.templates.genes)), np.int64)
    for block in simulation.blocks():
        rows = block.start + np.repeat(np.arange(len(block)), np.diff(block.indptr))
        x_NG[rows, block.indices] = block.counts
    return x_NG


def test_templates_are_the_real_counts_restored():
    templates = real_templates(30)
    assert templates.counts_NG.shape == (660, 765)
    assert templates.cell_types[:2] == ["CD14+ Monocyte", "CD19+ B"]
    assert np.bincount(templates.cell_type_N).min() >= 30
    # Every cell holds a gene that was counted once, or the division by the smallest value would not give integers.
    assert (np.where(templates.counts_NG > 0, templates.counts_NG, 99).min(axis=1) == 1).all()
    assert templates.counts_NG[templates.cell_type_N == 0, templates.genes.index("LYZ")].mean() > 5
    assert templates.counts_NG[templates.cell_type_N == 1, templates.genes.index("CD79A")].mean() > 1


def test_the_same_recipe_gives_the_same_cells_and_another_seed_others(recipe):
    small = {**recipe, "cells": 1000}
    first, again, other = (simulate(Recipe(**{**small, "seed": seed})) for seed in (0, 0, 1))
    np.testing.assert_array_equal(dense(first), dense(again))
    assert (dense(first) != dense(other)).any()


def test_covariates_are_crossed_evenly(recipe):
    simulation = simulate(Recipe(**recipe))
    perturbation, cell_type, batch = simulation.columns.values()
    assert set(np.ravel(contingency(batch.codes, perturbation.codes, (3, 4)))) == {500}
    per_group = contingency(cell_type.codes, perturbation.codes, (7, 4))
    assert (per_group == per_group[:, :1]).all()


def test_the_counts_bear_out_the_truth(recipe):
    """Mean counts per group against control's, on library-size-weighted means: the log ratio is the log fold change."""
    simulation = simulate(Recipe(**{**recipe, "cells": 24_000, "batch_effect": 0.3}))
    x_NG, library_N = dense(simulation), simulation.library_size_N
    perturbation, cell_type, _ = simulation.columns.values()

    def rate_G(p: int, t: int) -> np.ndarray:
        cells = (perturbation.codes == p) & (cell_type.codes == t)
        return x_NG[cells].sum(axis=0) / library_N[cells].sum()

    control = perturbation.labels.index("control")
    type_code = cell_type.labels.index("Dendritic")
    for place, name in enumerate(simulation.truth.perturbations):
        truth_G = simulation.truth.log_fold_change_PTG[place, type_code]
        often = rate_G(control, type_code) > np.quantile(rate_G(control, type_code), 0.7)
        measured_G = np.log(
            rate_G(perturbation.labels.index(name), type_code)[often] / rate_G(control, type_code)[often]
        )
        assert np.abs(measured_G - truth_G[often]).mean() < 0.05
        assert np.corrcoef(measured_G, truth_G[often])[0, 1] > 0.98
        assert np.corrcoef(measured_G, np.roll(truth_G[often], 1))[0, 1] < 0.5  # negative control


def test_effects_differ_by_cell_type_and_have_the_size_and_share_asked_for(recipe):
    simulation = simulate(Recipe(**recipe))
    effect_TG = simulation.truth.log_fold_change_PTG[simulation.truth.perturbations.index("cytokine")]
    changed = (effect_TG != 0).all(axis=0)
    assert changed.mean() == pytest.approx(0.15, abs=0.01)
    assert np.abs(effect_TG[:, changed]).mean() == pytest.approx(1.0, abs=0.15)
    assert np.corrcoef(effect_TG[0, changed], effect_TG[1, changed])[0, 1] < 0.98


def simulated(name: str, **changes) -> Simulation:
    content = read_yaml(Path("tests/recipes") / f"{name}.yaml")
    return simulate(Recipe.model_validate(content | changes))


def effect_of(simulation: Simulation, label: str) -> np.ndarray:
    return simulation.truth.log_fold_change_PTG[simulation.truth.perturbations.index(label)]


def test_a_combination_adds_up_its_treatments():
    simulation = simulated("combinations")
    parts = [effect_of(simulation, name) for name in ("cytokine", "inhibitor")]
    np.testing.assert_allclose(effect_of(simulation, "cytokine+inhibitor"), sum(parts), rtol=1e-12)
    assert simulation.doses["cytokine+inhibitor"] == {"cytokine": 1.0, "inhibitor": 1.0}


def test_an_interaction_comes_on_top_where_something_changes():
    plain, with_it = simulated("combinations"), simulated("combinations", interaction=0.7)
    interaction_TG = effect_of(with_it, "cytokine+inhibitor") - effect_of(plain, "cytokine+inhibitor")
    changed_G = (effect_of(plain, "cytokine") != 0).any(axis=0) | (effect_of(plain, "inhibitor") != 0).any(axis=0)
    assert interaction_TG[:, changed_G].std() == pytest.approx(0.7, rel=0.1)
    assert not interaction_TG[:, ~changed_G].any()
    np.testing.assert_array_equal(effect_of(with_it, "cytokine"), effect_of(plain, "cytokine"))


def test_the_effect_saturates_with_the_dose():
    simulation = simulated("doses")
    full = simulate(Recipe.model_validate(undosed(read_yaml(Path("tests/recipes/doses.yaml")))))
    for dose in (0.1, 1, 10, 100):
        np.testing.assert_allclose(
            effect_of(simulation, f"cytokine@{dose}"), dose / (dose + 1) * effect_of(full, "cytokine"), rtol=1e-12
        )
    assert simulation.doses["cytokine@0.1"] == {"cytokine": 0.1}
    assert simulation.doses["control"] == {}


def undosed(content: dict) -> dict:
    effects = {
        name: {key: value for key, value in effect.items() if key not in ("doses", "half_effect")}
        for name, effect in content["perturbations"].items()
    }
    return content | {"perturbations": effects}


def test_expression_follows_the_places_as_told():
    """Log ratio of mean counts right and left of the centre: of exp(s x) over x in (0, 1) and (-1, 0), exactly s."""
    simulation = simulated("spatial", cells=12_000, batch_effect=0.0)
    x_NG, library_N = dense(simulation), simulation.library_size_N
    perturbation, cell_type, _ = simulation.columns.values()
    assert (simulation.places_NS >= 0).all()
    assert (simulation.places_NS <= 1000).all()
    right_N = simulation.places_NS[:, 0] > 500
    upper_N = simulation.places_NS[:, 1] > 500
    of_type_N = cell_type.codes == cell_type.labels.index("Dendritic")

    def log_ratio_G(label: str, half_N: np.ndarray) -> np.ndarray:
        cells_N = of_type_N & (perturbation.codes == perturbation.labels.index(label))
        rates = [x_NG[cells_N & half].sum(axis=0) / library_N[cells_N & half].sum() for half in (half_N, ~half_N)]
        return np.log(rates[0][often] / rates[1][often])

    often = x_NG[of_type_N].mean(axis=0) > 1
    spatial_G = simulation.log_spatial_effect_G[often]
    assert (spatial_G != 0).mean() == pytest.approx(0.5, abs=0.2)
    control_G = log_ratio_G("control", right_N)
    assert np.corrcoef(control_G, spatial_G)[0, 1] > 0.95
    assert np.polyfit(spatial_G, control_G, 1)[0] == pytest.approx(1.0, abs=0.05)
    treated_G = log_ratio_G("cytokine", right_N) - control_G
    effect_G = effect_of(simulation, "cytokine")[cell_type.labels.index("Dendritic"), often]
    assert np.polyfit(effect_G, treated_G, 1)[0] == pytest.approx(1.0, abs=0.15)
    assert np.abs(log_ratio_G("control", upper_N)).mean() < 0.1  # negative control: the other axis


def test_held_out_pairs_of_the_default_parameters_exist(recipe):
    simulation = simulate(Recipe(**recipe))
    for pair in load_params().cfm_vc.studies["pbmc"].held_out:
        assert pair.cell_type in simulation.templates.cell_types
        assert pair.perturbation in simulation.truth.perturbations


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("cells: 6000 -> cells: 20", "cells = 20 is too few"),
        ("min_template_cells: 30 -> min_template_cells: 3000", "no cell type has as many, the largest has 240"),
        ("cells: 6000 -> cell: 6000", "cell: unknown key; did you mean 'cells'?"),
        ("control: control -> control: stress", "must not be among the perturbations"),
        ("share: 0.15 -> share: 1.5", "perturbations.cytokine.share = 1.5"),
        ("seed: 0 -> combinations: [[stress, stress]]\nseed: 0", "must be of different perturbations of this recipe"),
        ("seed: 0 -> combinations: [[stress, heat]]\nseed: 0", "must be of different perturbations of this recipe"),
        (
            "0.3} -> 0.3, doses: [2, 3]}\ncombinations: [[stress, cytokine]]",
            "must be of perturbations that share a dose",
        ),
        ("0.3} -> 0.3, doses: [0]}", "perturbations.stress.doses.0 = 0"),
    ],
)
def test_a_bad_recipe_is_an_expected_error(tmp_path, change, words):
    before, after = change.split(" -> ")
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.read_text().replace(before, after))
    with pytest.raises(ExpectedError) as caught:
        simulate(read_recipe(path))
    assert words in str(caught.value)
