"""Simulated perturbation data: real PBMC profiles shipped with scanpy, resampled and perturbed with known effects.

A simulated cell has the library size of a real cell of its type and negative-binomial counts around

    mean(c, g) = library_size(c) x proportion(type, g) x exp(batch_effect(batch, g) + effect(perturbation, type, g))

Means are not renormalised, so the effect is exactly the log fold change of the expected count. The effect of a
treatment at a dose is its full effect times dose / (dose + half_effect), the Emax model; that of a combination is the
sum over its treatments plus an optional interaction. A cell at x in space (-1 <= x <= 1 along the first axis) has its
effect times 1 + response x, and gains x times the gene's spatial effect.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.cfm_vc.data.recipe import Recipe
from pipeline.core.errors import ExpectedError
from pipeline.data.columns import Column
from pipeline.data.csr import CsrBlock

Floats = npt.NDArray[np.float64]

CELLS_PER_BLOCK = 4096  # fixed: random numbers are drawn block by block
EFFECT_SHAPE = 4.0  # shape of the gamma distribution of effect sizes: a coefficient of variation of one half
SMALLEST_GROUP = 2  # cells of a (cell type, perturbation) pair
HALF_WIDTH = 500.0  # half the side of the square or cube of coordinates
SMOOTHING = 0.5  # pseudocount per gene and cell type, so that no proportion is zero


@dataclass(frozen=True)
class Templates:
    """Real cells as integer counts, of cell types with enough cells."""

    genes: list[str]
    cell_types: list[str]  # sorted
    counts_NG: npt.NDArray[np.int64]
    cell_type_N: npt.NDArray[np.int64]  # code into cell_types


@dataclass(frozen=True)
class Truth:
    """The effects behind a simulation."""

    perturbations: list[str]  # labels, sorted, without the control
    log_fold_change_PTG: Floats  # natural log of the mean against control, per perturbation, cell type and gene


@dataclass(frozen=True)
class Simulation:
    """Simulated cells: covariates and true effects; counts are drawn by `blocks`."""

    recipe: Recipe
    templates: Templates
    truth: Truth
    columns: dict[str, Column]  # perturbation, cell_type, batch
    library_size_N: npt.NDArray[np.int64]
    log_batch_effect_BG: Floats
    position_NS: Floats | None = None  # each from -1 to 1
    log_spatial_effect_G: Floats | None = None

    @property
    def doses(self) -> dict[str, dict[str, float]] | None:
        """Doses by label; None if every label is a single treatment."""
        return self.recipe.labels() if self.recipe.dosed or self.recipe.combinations else None

    @property
    def places_NS(self) -> Floats | None:
        """Spatial coordinates in the unit of a lab file, (N, S)."""
        return None if self.position_NS is None else HALF_WIDTH * (1 + self.position_NS)

    def blocks(self) -> Iterator[CsrBlock]:
        """Counts of all cells (int32), the same at every call."""
        rng = np.random.default_rng([self.recipe.seed, 1])
        proportion_TG = _proportions(self.templates)
        log_fold_change_PTG = self._log_fold_change_with_control()
        theta = self.recipe.inverse_dispersion
        for start in range(0, len(self.library_size_N), CELLS_PER_BLOCK):
            rows = slice(start, start + CELLS_PER_BLOCK)
            perturbation, cell_type, batch = (column.codes[rows] for column in self.columns.values())
            change_NG = log_fold_change_PTG[perturbation, cell_type]
            log_effect_NG = self.log_batch_effect_BG[batch] + self._at_places(change_NG, rows)
            mean_NG = self.library_size_N[rows, None] * proportion_TG[cell_type] * np.exp(log_effect_NG)
            counts_NG = rng.poisson(rng.gamma(theta, mean_NG / theta)).astype(np.int32)
            yield CsrBlock.of_dense(start, counts_NG)

    def _at_places(self, change_NG: Floats, rows: slice) -> Floats:
        """Perturbation effects at the cells' positions, plus the spatial effects."""
        if self.recipe.spatial is None or self.position_NS is None or self.log_spatial_effect_G is None:
            return change_NG
        along_N1 = self.position_NS[rows, :1]
        return change_NG * (1 + self.recipe.spatial.response * along_N1) + along_N1 * self.log_spatial_effect_G

    def names(self) -> Iterator[list[str]]:
        """Names of the cells, in blocks."""
        for start in range(0, len(self.library_size_N), CELLS_PER_BLOCK):
            stop = min(start + CELLS_PER_BLOCK, len(self.library_size_N))
            yield [f"cell_{number:06d}" for number in range(start, stop)]

    def _log_fold_change_with_control(self) -> Floats:
        effects = dict(zip(self.truth.perturbations, self.truth.log_fold_change_PTG, strict=True))
        none = np.zeros(self.truth.log_fold_change_PTG.shape[1:])
        return np.stack([effects.get(label, none) for label in self.columns["perturbation"].labels])


def simulate(recipe: Recipe, templates: Templates | None = None) -> Simulation:
    """Simulate cells from the templates (default: real cells); the same recipe gives the same cells.

    ExpectedError if there are too few cells.
    """
    templates = templates or real_templates(recipe.min_template_cells)
    rng = np.random.default_rng([recipe.seed, 0])
    truth = _draw_truth(recipe, templates, rng)
    log_batch_effect_BG = rng.normal(0.0, recipe.batch_effect, (len(recipe.batches), len(templates.genes)))
    columns = _draw_covariates(recipe, templates, rng)
    totals = templates.counts_NG.sum(axis=1)
    library_size_N = np.empty(recipe.cells, np.int64)
    for code in range(len(templates.cell_types)):
        chosen = columns["cell_type"].codes == code
        library_size_N[chosen] = rng.choice(totals[templates.cell_type_N == code], int(chosen.sum()))
    place = _draw_space(recipe, len(templates.genes)) if recipe.spatial else (None, None)
    return Simulation(recipe, templates, truth, columns, library_size_N, log_batch_effect_BG, *place)


def real_templates(min_cells: int) -> Templates:
    """700 PBMC of 10x Genomics (Zheng 2017, as scanpy ships them), cell types with at least `min_cells` cells.

    scanpy ships log(1 + normalised count); dividing its inverse by each cell's smallest non-zero value restores the
    integers, since every cell has a gene with a count of one. The result is within 0.12 of whole numbers.
    """
    import scanpy  # 2.5 s, and only a simulation needs it

    cells = scanpy.datasets.pbmc68k_reduced()
    normalised_NG = np.expm1(cells.raw.X.toarray().astype(np.float64))
    scaled_NG = normalised_NG / np.where(normalised_NG > 0, normalised_NG, np.inf).min(axis=1, keepdims=True)
    counts_NG = np.rint(scaled_NG).astype(np.int64)
    if np.abs(scaled_NG - counts_NG).max() >= 0.2:
        raise ExpectedError("scanpy's pbmc68k_reduced does not hold the counts expected: install the locked scanpy")
    sizes = cells.obs["bulk_labels"].value_counts()
    cell_types = sorted(sizes.index[sizes >= min_cells])
    if not cell_types:
        raise ExpectedError(
            f"min_template_cells = {min_cells}: no cell type has as many, the largest has {sizes.max()}"
        )
    code_N = cells.obs["bulk_labels"].map({name: code for code, name in enumerate(cell_types)}).astype(float)
    kept_N = code_N.notna().to_numpy()
    return Templates(list(cells.raw.var_names), cell_types, counts_NG[kept_N], code_N[kept_N].to_numpy(np.int64))


def _draw_truth(recipe: Recipe, templates: Templates, rng: np.random.Generator) -> Truth:
    genes, types = len(templates.genes), len(templates.cell_types)
    # Responsiveness of each gene in each cell type, mean 1: shared by all perturbations, as chromatin state is, so that
    # a held-out pair is partly predictable from the others.
    response_TG = rng.gamma(1.0, 1.0, (types, genes))
    full_TG: dict[str, Floats] = {}
    for name in sorted(recipe.perturbations):
        effect = recipe.perturbations[name]
        changed = rng.choice(genes, max(1, round(effect.share * genes)), replace=False)
        size = effect.log_fold_change * rng.gamma(EFFECT_SHAPE, 1 / EFFECT_SHAPE, len(changed))
        size *= np.where(rng.random(len(changed)) < recipe.opposite_share, -1.0, 1.0)
        specific = effect.cell_type_specific
        full_TG[name] = np.zeros((types, genes))
        full_TG[name][:, changed] = size * (1 - specific + specific * response_TG[:, changed])
    interaction_G = _draw_interactions(recipe, full_TG)
    labels = {label: doses for label, doses in recipe.labels().items() if doses}
    effect_PTG = np.zeros((len(labels), types, genes))
    for effect_TG, doses in zip(effect_PTG, labels.values(), strict=True):
        reached = {name: recipe.perturbations[name].reached(dose) for name, dose in doses.items()}
        effect_TG += sum(reached[name] * full_TG[name] for name in doses)
        if tuple(doses) in interaction_G:
            effect_TG += math.prod(reached.values()) * interaction_G[tuple(doses)]
    return Truth(list(labels), effect_PTG)


def _draw_interactions(recipe: Recipe, full_TG: dict[str, Floats]) -> dict[tuple[str, ...], Floats]:
    """Interaction, as a log fold change (G,), of each combination."""
    rng = np.random.default_rng([recipe.seed, 2])
    found = {}
    for treatments in sorted(tuple(sorted(each)) for each in recipe.combinations):
        changed_G = np.any([(full_TG[name] != 0).any(axis=0) for name in treatments], axis=0)
        found[treatments] = np.where(changed_G, rng.normal(0.0, recipe.interaction, len(changed_G)), 0.0)
    return found


def _draw_space(recipe: Recipe, genes: int) -> tuple[Floats, Floats]:
    """Positions (N, S) and spatial effects (G,)."""
    assert recipe.spatial is not None
    rng = np.random.default_rng([recipe.seed, 3])
    follows_G = rng.permutation(genes) < max(1, round(recipe.spatial.share * genes))
    position_NS = rng.uniform(-1.0, 1.0, (recipe.cells, recipe.spatial.dimensions))
    sign_G = rng.choice([-1.0, 1.0], genes)
    return position_NS, np.where(follows_G, sign_G * recipe.spatial.log_fold_change, 0.0)


def _draw_covariates(recipe: Recipe, templates: Templates, rng: np.random.Generator) -> dict[str, Column]:
    """Cells in random order, evenly over perturbations x batches, cell types in the templates' proportions in each."""
    perturbations = list(recipe.labels())
    batches = sorted(recipe.batches)
    cell_N = rng.permutation(recipe.cells)
    combinations = len(perturbations) * len(batches)
    combination_N, rank_N = cell_N % combinations, cell_N // combinations
    size_N = np.bincount(combination_N, minlength=combinations)[combination_N]
    cumulative_T = np.cumsum(np.bincount(templates.cell_type_N) / len(templates.cell_type_N))
    cell_type_N = np.searchsorted(cumulative_T[:-1], (rank_N + 0.5) / size_N, side="right")
    labels: dict[str, tuple[Any, list[str]]] = {
        "perturbation": (combination_N % len(perturbations), perturbations),
        "cell_type": (cell_type_N, templates.cell_types),
        "batch": (combination_N // len(perturbations), batches),
    }
    group_N = cell_type_N * len(perturbations) + labels["perturbation"][0]
    smallest = int(np.bincount(group_N, minlength=len(templates.cell_types) * len(perturbations)).min())
    if smallest < SMALLEST_GROUP:
        raise ExpectedError(
            f"cells = {recipe.cells:,} is too few: some (cell type, perturbation) group would have {smallest} cells, "
            f"expected at least {SMALLEST_GROUP}; ask for more cells, or for fewer cell types by a larger "
            "min_template_cells"
        )
    return {name: Column(codes.astype(np.int32), known, []) for name, (codes, known) in labels.items()}


def _proportions(templates: Templates) -> Floats:
    counts_TG = np.stack(
        [templates.counts_NG[templates.cell_type_N == code].sum(axis=0) for code in range(len(templates.cell_types))]
    )
    smoothed_TG = counts_TG + SMOOTHING
    proportions: Floats = smoothed_TG / smoothed_TG.sum(axis=1, keepdims=True)
    return proportions
