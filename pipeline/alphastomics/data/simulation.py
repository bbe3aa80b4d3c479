"""The embedded spatial data: sections of a layered tissue, simulated with a known geometry.

Every position has a depth u and lateral coordinates v (-1 to 1 each). The layers are bent: along the first lateral axis
the depth is shifted by `curvature` x v^2. A cell's type depends on its layer, and its counts are negative binomial with
mean

    mean(c, g) = library_size(c) x softmax_g(base(g) + marker(type, g) + sum_f effect(f, g) x field(f, place)
                                             + batch_effect(section, g))

with the fields u, each v, and a product of cosines, the patches. So expression determines the position of a cell, up to
counting noise. Every section has its own uneven outline, an offset, a magnification and, where asked for, a number of
cells and an orientation. Axes: N cells, G genes, S dimensions, T cell types, F fields, P sections (pieces of tissue).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.alphastomics.data.recipe import LARGEST_SPREAD, Gradient, TissueRecipe
from pipeline.data.columns import Column
from pipeline.data.csr import CsrBlock

Floats = npt.NDArray[np.float64]

CELLS_PER_BLOCK = 4096  # fixed, since the random stream is drawn block by block
BASE_SPREAD = 0.5  # standard deviation of the log of a gene's abundance
EFFECT_SHAPE = 8.0  # of the gamma distribution of gradients around the typical one: a third of it is their spread
WAVES = 3  # of the outline's unevenness, along each lateral axis
LARGEST_OUTLINE = 3.0  # typical sizes by which the outline may leave the straight one


@dataclass(frozen=True)
class Tissue:
    """Simulated sections: covariates and places here, counts drawn by `blocks`."""

    recipe: TissueRecipe
    columns: dict[str, Column]  # section, cell_type
    domain_N: npt.NDArray[np.int64]  # layer of each cell, 0 where u is -1
    tissue_NS: Floats  # u and each v of every cell, from -1 to 1 but for the outline
    places_NS: Floats  # as a lab would bring them
    base_G: Floats
    marker_TG: Floats
    effect_FG: Floats
    batch_effect_PG: Floats

    @property
    def genes(self) -> list[str]:
        """Names of the genes, by what they follow."""
        recipe = self.recipe
        named = [
            f"{name}_marker_{number + 1}" for name in recipe.cell_types for number in range(recipe.markers_per_type)
        ]
        for name, gradient in (("depth", recipe.depth), ("lateral", recipe.lateral), ("patches", recipe.patches)):
            named += [f"{name}_{number + 1}" for number in range(gradient.genes)]
        return named + [f"everywhere_{number + 1}" for number in range(recipe.genes - len(named))]

    def blocks(self) -> Iterator[CsrBlock]:
        """Counts of all cells (int32), the same at every call; memory: a block."""
        rng = np.random.default_rng([self.recipe.seed, 1])
        theta = self.recipe.inverse_dispersion
        for start in range(0, len(self.places_NS), CELLS_PER_BLOCK):
            rows = slice(start, start + CELLS_PER_BLOCK)
            mean_NG = self.mean(rows)
            mean_NG *= self.recipe.counts_per_cell * rng.lognormal(0.0, self.recipe.counts_spread, (len(mean_NG), 1))
            counts_NG = rng.poisson(rng.gamma(theta, mean_NG / theta)).astype(np.int32)
            yield CsrBlock.of_dense(start, counts_NG)

    def mean(self, rows: slice) -> Floats:
        """Expected share of each gene in the counts of these cells, (N, G)."""
        section_N, type_N = (self.columns[name].codes[rows] for name in ("section", "cell_type"))
        fields_NF = fields(self.tissue_NS[rows], self.recipe)
        log_NG = self.base_G + self.marker_TG[type_N] + fields_NF @ self.effect_FG + self.batch_effect_PG[section_N]
        share_NG: Floats = np.exp(log_NG - log_NG.max(axis=1, keepdims=True))
        share_NG /= share_NG.sum(axis=1, keepdims=True)
        return share_NG

    def names(self) -> Iterator[list[str]]:
        """Names of the cells, in blocks."""
        labels, codes = self.columns["section"].labels, self.columns["section"].codes
        first_P = np.searchsorted(codes, np.arange(len(labels)))
        for start in range(0, len(codes), CELLS_PER_BLOCK):
            stop = min(start + CELLS_PER_BLOCK, len(codes))
            yield [f"{labels[codes[row]]}_cell_{row - first_P[codes[row]]:05d}" for row in range(start, stop)]


def simulate(recipe: TissueRecipe) -> Tissue:
    """Sections by this recipe; the same recipe gives the same cells."""
    rng = np.random.default_rng([recipe.seed, 0])
    types, cells_P = len(recipe.cell_types), _draw_sizes(recipe)
    base_G = rng.normal(0.0, BASE_SPREAD, recipe.genes)
    marker_TG, effect_FG = _effects(recipe, rng)
    batch_effect_PG = rng.normal(0.0, recipe.batch_effect, (recipe.sections, recipe.genes))
    # A width of its own for each number, so that the labels' order is that of the numbers.
    digits = len(str(recipe.sections))
    sections = [f"section_{number + 1:0{digits}d}" for number in range(recipe.sections)]
    tissue_of = [_draw_tissue(recipe, int(cells), rng) for cells in cells_P]
    places_NS = np.concatenate([_laid_out(tissue_NS, recipe, rng) for tissue_NS in tissue_of])
    tissue_NS = np.concatenate(tissue_of)
    # Depth from 0 to 1, in layers of equal thickness; the uneven outline belongs to the outer ones.
    depth_N = (tissue_NS[:, 0] + 1) / 2
    domain_N = np.clip((depth_N * recipe.domains).astype(np.int64), 0, recipe.domains - 1)
    own_N = rng.random(len(domain_N)) < recipe.purity
    type_N = np.where(own_N, domain_N % types, rng.integers(0, types, len(domain_N)))
    order = np.argsort(recipe.cell_types)  # labels are sorted, the recipe's order is the layers'
    labels = [recipe.cell_types[place] for place in order]
    columns = {
        "section": Column(np.repeat(np.arange(recipe.sections, dtype=np.int32), cells_P), sections, []),
        "cell_type": Column(np.argsort(order)[type_N].astype(np.int32), labels, []),
    }
    return Tissue(recipe, columns, domain_N, tissue_NS, places_NS, base_G, marker_TG[order], effect_FG, batch_effect_PG)


def fields(tissue_NS: Floats, recipe: TissueRecipe) -> Floats:
    """What genes follow at these places, (N, F): depth, each lateral coordinate, the patches."""
    # Along depth the coordinate goes from -1 to 1 in one depth, along the others in `width` of them.
    waves_S = np.pi * np.array([1.0, *[recipe.width] * (recipe.dimensions - 1)]) / recipe.patch_size / 2
    patches_N1 = np.cos(tissue_NS * waves_S).prod(axis=1, keepdims=True)
    return np.concatenate([tissue_NS, patches_N1], axis=1)


def _effects(recipe: TissueRecipe, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Log fold change of each gene by cell type, (T, G) in the recipe's order, and by field, (F, G)."""
    types = len(recipe.cell_types)
    marker_TG = np.zeros((types, recipe.genes))
    effect_FG = np.zeros((recipe.dimensions + 1, recipe.genes))
    gene = 0
    for cell_type in range(types):
        marker_TG[cell_type, gene : gene + recipe.markers_per_type] = recipe.marker_log_fold_change
        gene += recipe.markers_per_type
    lateral = range(1, recipe.dimensions)
    followed: list[tuple[Gradient, list[int]]] = [
        (recipe.depth, [0]),
        (recipe.lateral, list(lateral)),
        (recipe.patches, [recipe.dimensions]),
    ]
    for gradient, places in followed:
        size = gradient.log_fold_change * rng.gamma(EFFECT_SHAPE, 1 / EFFECT_SHAPE, gradient.genes)
        for number in range(gradient.genes):  # rising and falling by turns, the lateral axes too
            sign = 1 if number // len(places) % 2 else -1
            effect_FG[places[number % len(places)], gene + number] = sign * size[number]
        gene += gradient.genes
    return marker_TG, effect_FG


def _draw_sizes(recipe: TissueRecipe) -> npt.NDArray[np.int64]:
    """Cells of each section, (P,)."""
    rng = np.random.default_rng([recipe.seed, 2])
    spread_P = np.clip(rng.normal(size=recipe.sections), -LARGEST_SPREAD, LARGEST_SPREAD) * recipe.cells_spread
    cells_P: npt.NDArray[np.int64] = np.rint(recipe.cells_per_section * np.exp(spread_P)).astype(np.int64)
    return np.maximum(cells_P, 2)


def _draw_tissue(recipe: TissueRecipe, cells: int, rng: np.random.Generator) -> Floats:
    """Cells spread evenly over a section with an uneven outline: u and each v, (N, S)."""
    outline = [_Outline(recipe, rng) for _ in range(2 * recipe.dimensions)]  # both ends of every axis
    size_S = _sizes(recipe)
    room = 1 + 2 * LARGEST_OUTLINE * recipe.outline / size_S.min()
    found: list[Floats] = []
    number = 0
    while number < cells:
        drawn_NS = rng.uniform(-room, room, (2 * cells, recipe.dimensions))
        inside_N = np.ones(len(drawn_NS), bool)
        for axis in range(recipe.dimensions):
            along_N = drawn_NS[:, 0 if axis else 1]
            for end, uneven in ((-1, outline[2 * axis]), (1, outline[2 * axis + 1])):
                inside_N &= end * drawn_NS[:, axis] < 1 + 2 * uneven.at(along_N) / size_S[axis]
        found.append(drawn_NS[inside_N])
        number += len(found[-1])
    return np.concatenate(found)[:cells]


class _Outline:
    """How far one end of a section reaches beyond the straight one (depths), as a sum of waves along another axis."""

    def __init__(self, recipe: TissueRecipe, rng: np.random.Generator) -> None:
        self._height = rng.normal(0.0, recipe.outline / np.sqrt(WAVES / 2), WAVES)
        self._phase = rng.uniform(0.0, 2 * np.pi, WAVES)
        self._limit = LARGEST_OUTLINE * recipe.outline

    def at(self, along_N: Floats) -> Floats:
        angle_NW = np.pi * along_N[:, None] * np.arange(1, WAVES + 1) + self._phase  # W waves
        beyond_N: Floats = np.clip((self._height * np.cos(angle_NW)).sum(axis=1), -self._limit, self._limit)
        return beyond_N


def _laid_out(tissue_NS: Floats, recipe: TissueRecipe, rng: np.random.Generator) -> Floats:
    """Where the cells of a section lie (micrometres), (N, S): bent, magnified, turned if asked for, and moved."""
    places_NS = tissue_NS[:, [*range(1, recipe.dimensions), 0]] * _sizes(recipe)[[*range(1, recipe.dimensions), 0]] / 2
    places_NS[:, -1] -= recipe.curvature * tissue_NS[:, 1] ** 2
    places_NS *= recipe.extent * rng.lognormal(0.0, recipe.scale_spread)
    offset_S = rng.uniform(-recipe.offset, recipe.offset, recipe.dimensions)
    turn_SS, triangle_SS = np.linalg.qr(rng.normal(size=(recipe.dimensions, recipe.dimensions)))
    turn_SS *= np.sign(np.diag(triangle_SS))  # evenly over all rotations and reflections
    if recipe.rotated:
        places_NS = places_NS @ turn_SS
    return places_NS + offset_S


def _sizes(recipe: TissueRecipe) -> Floats:
    """Size of the tissue along u and each v (depths), (S,)."""
    return np.array([1.0, *[recipe.width] * (recipe.dimensions - 1)])
