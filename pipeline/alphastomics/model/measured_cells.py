"""What measured cells say of others in the same frame: places of similar cells, and the expression of near ones.

Where the frame of a tissue is known, a network need not learn from scratch what closed forms estimate well. It is shown
their estimates and learns how far to trust them, and what they lack: stacking (Wolpert, "Stacked generalization",
Neural Networks 5, 1992). So that trust is learned from errors like those on new cells, a training cell is estimated
from the cells of other folds (`CrossFitted`).

M: measured cells, N: cells asked about, G: genes, S: spatial dimensions, K: components of expression, or neighbours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from pipeline.alphastomics.model.baselines import COMPONENTS, FOLDS, principal_axes
from pipeline.data.columns import UNKNOWN_TYPE
from pipeline.nn.ridge import Linear, choose_penalty, fit_ridge

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int64]

PLACES = ("ridge", "nearest")  # estimates of a place
EXPRESSIONS = ("nearest", "near", "nearest_same_type", "near_same_type")  # estimates of expression
SMOOTH = ("type_and_place",)  # ... of which the network sees none, as of MEANS
MEANS = ("cell_type", "all")  # estimates that do not depend on the place
COMBINED = (*EXPRESSIONS, *SMOOTH, *MEANS)  # with the network's own: see `combination`
NEAREST, NEAR, WIDE = 10, 40, 200  # cells that a mean is over
_BLOCK = 1024  # cells asked about that are compared with all measured ones at once


@dataclass(frozen=True)
class MeasuredCells:
    """Measured cells and what is fitted to them; made by `of`."""

    x_MG: Floats  # standardised expression
    position_MS: Floats  # in the frame
    cell_type_M: Codes
    linear: Linear  # from expression to place
    centre_G: Floats
    axes_GK: Floats  # principal axes of expression
    known_MK: Floats  # expression along them
    tree: cKDTree
    tree_of_type: dict[int, tuple[Codes, cKDTree]]  # the cells of a type, and their tree

    @classmethod
    def of(cls, x_MG: Floats, position_MS: Floats, cell_type_M: Codes) -> "MeasuredCells":
        """Fit. The ridge's penalty is chosen over random folds of the cells, the same ones at every call."""
        cells = len(x_MG)
        scaled_MG = np.asarray(x_MG, np.float64) / np.sqrt(cells)  # the penalty is per cell
        fold_M = np.random.default_rng(0).permutation(cells) % FOLDS
        place_MS = np.asarray(position_MS, np.float64)
        linear = fit_ridge(scaled_MG, place_MS, choose_penalty(scaled_MG, place_MS, fold_M))
        centre_G, axes_GK = (part.astype(np.float32) for part in principal_axes(x_MG, COMPONENTS))
        known_MK = ((x_MG - centre_G) @ axes_GK).astype(np.float32)
        known = [int(code) for code in np.unique(cell_type_M) if code != UNKNOWN_TYPE]
        rows_of = {code: np.flatnonzero(cell_type_M == code) for code in known}
        trees = {code: (rows, cKDTree(position_MS[rows])) for code, rows in rows_of.items()}
        return cls(x_MG, position_MS, cell_type_M, linear, centre_G, axes_GK, known_MK, cKDTree(position_MS), trees)

    def places(self, x_NG: Floats) -> Floats:
        """Estimates of the places of cells of this expression, (N, 2, S), as in PLACES: by ridge regression, and the
        mean over the cells of most similar expression."""
        asked_NK = ((x_NG - self.centre_G) @ self.axes_GK).astype(np.float32)
        nearest_NK = _most_similar(self.known_MK, asked_NK, NEAREST)
        linear_NS = self.linear(np.asarray(x_NG, np.float64) / np.sqrt(len(self.x_MG)))
        return np.stack([linear_NS, self.position_MS[nearest_NK].mean(axis=1)], axis=1).astype(np.float32)

    def scatter(self, x_NG: Floats) -> Floats:
        """How scattered the places of measured cells of this expression are, (N,): the mean squared distance from their
        mean, over more cells than an estimate rests on."""
        asked_NK = ((x_NG - self.centre_G) @ self.axes_GK).astype(np.float32)
        place_NKS = self.position_MS[_most_similar(self.known_MK, asked_NK, NEAR)]
        scatter_N: Floats = place_NKS.var(axis=1).sum(axis=1)
        return scatter_N

    def expressions(self, position_NS: Floats, cell_type_N: Codes) -> Floats:
        """Estimates of the expression of cells at these places, (N, 4, G), as in EXPRESSIONS: means over the cells that
        are nearest and over more of them, and the same among those of the cell's type (among all where none is)."""
        found_NKG = np.empty((len(position_NS), len(EXPRESSIONS), self.x_MG.shape[1]), np.float32)
        found_NKG[:, :2] = self._means(_nearest(self.tree, position_NS, NEAR))
        found_NKG[:, 2:] = found_NKG[:, :2]
        for code in np.unique(cell_type_N):
            if int(code) in self.tree_of_type:
                rows, tree = self.tree_of_type[int(code)]
                like_N = cell_type_N == code
                found_NKG[like_N, 2:] = self._means(rows[_nearest(tree, position_NS[like_N], NEAR)])
        return found_NKG

    def type_and_place(self, position_NS: Floats, cell_type_N: Codes) -> Floats:
        """An additive estimate of expression, (N, G): the mean of the cell's type, plus by how much cells around its
        place, of all types, differ from the means of their own. So a place is known from many cells, where those of one
        type are few. Of a cell without a type, the mean of all cells, plus by how much those around it differ from it.
        """
        nearest_NK = _nearest(self.tree, position_NS, NEAREST)
        typed_N = np.isin(cell_type_N, list(self.tree_of_type))
        found_NG = self.means(cell_type_N)[:, 0]
        if typed_N.any():
            found_NG[typed_N] += self._mean(nearest_NK[typed_N], self._effect_beside_type)
        if not typed_N.all():
            found_NG[~typed_N] += self._mean(nearest_NK[~typed_N], self._effect)
        return found_NG

    @cached_property
    def _effect_beside_type(self) -> Floats:
        """Of each measured cell's place, (M, G): the mean over the cells around it, less the means of their types."""
        return self._smoothed(self.x_MG - self.means(self.cell_type_M)[:, 0])

    @cached_property
    def _effect(self) -> Floats:
        """The same, less the mean of all."""
        return self._smoothed(self.x_MG - self.x_MG.mean(axis=0))

    def _smoothed(self, x_MG: Floats) -> Floats:
        return self._mean(_nearest(self.tree, self.position_MS, WIDE), x_MG)

    @cached_property
    def _mean_of_type(self) -> dict[int | None, Floats]:
        """Mean expression (G,) of the cells of each type, and under None of all: blocks ask for it again and again."""
        found: dict[int | None, Floats] = {None: self.x_MG.mean(axis=0)}
        return found | {code: self.x_MG[rows].mean(axis=0) for code, (rows, _) in self.tree_of_type.items()}

    def means(self, cell_type_N: Codes) -> Floats:
        """Mean expression of the measured cells of each cell's type (of all where there is none) and of all, (N, 2, G),
        as in MEANS."""
        found_NKG = np.tile(self._mean_of_type[None], (len(cell_type_N), len(MEANS), 1))
        for code in np.unique(cell_type_N).tolist():
            if code in self.tree_of_type:
                found_NKG[cell_type_N == code, 0] = self._mean_of_type[code]
        return found_NKG

    def _means(self, order_NK: Codes) -> Floats:
        """Mean expression of each row's first cells and of all of them, (N, 2, G)."""
        return np.stack([self._mean(order_NK[:, :NEAREST], self.x_MG), self._mean(order_NK, self.x_MG)], axis=1)

    def _mean(self, rows_NK: Codes, x_MG: Floats) -> Floats:
        """The mean of x over each row's cells, (N, G)."""
        number, each = rows_NK.shape
        pointers = np.arange(0, number * each + 1, each)
        weights = csr_array(
            (np.full(rows_NK.size, 1 / each, np.float32), rows_NK.ravel(), pointers), (number, len(x_MG))
        )
        mean_NG: Floats = weights @ x_MG
        return mean_NG


class CrossFitted:
    """Estimates of the measured cells themselves, and of cells near them: from those of other folds that are at least
    `margin` away from their own."""

    def __init__(
        self, x_MG: Floats, position_MS: Floats, cell_type_M: Codes, fold_M: Codes, margin: float = 0.0
    ) -> None:
        """fold_M: cells that are left out together. ValueError where nothing would be left."""
        self.without: dict[int, MeasuredCells] = {}
        for fold in np.unique(fold_M):
            kept_M = fold_M != fold
            if margin > 0:
                nearest_M, _ = cKDTree(position_MS[~kept_M]).query(position_MS, distance_upper_bound=margin)
                kept_M &= nearest_M >= margin
            if not kept_M.any():
                raise ValueError(f"no cell is left to estimate those of fold {fold} from")
            self.without[int(fold)] = MeasuredCells.of(x_MG[kept_M], position_MS[kept_M], cell_type_M[kept_M])

    def places(self, fold_N: Codes, x_NG: Floats) -> Floats:
        """Of cells of these folds: as `MeasuredCells.places`."""
        return _by_fold(fold_N, lambda fold, here_N: self.without[fold].places(x_NG[here_N]))

    def expressions(self, fold_N: Codes, position_NS: Floats, cell_type_N: Codes) -> Floats:
        """Of cells of these folds: as `MeasuredCells.expressions`."""
        return _by_fold(
            fold_N, lambda fold, here_N: self.without[fold].expressions(position_NS[here_N], cell_type_N[here_N])
        )


def _by_fold(fold_N: Codes, of_fold: Callable[[int, npt.NDArray[np.bool_]], Floats]) -> Floats:
    """What a function of a fold and its cells gives, put together again in the order of all cells."""
    parts = {int(fold): of_fold(int(fold), fold_N == fold) for fold in np.unique(fold_N)}
    found = np.empty((len(fold_N), *next(iter(parts.values())).shape[1:]), np.float32)
    for fold, part in parts.items():
        found[fold_N == fold] = part
    return found


def _most_similar(known_MK: Floats, asked_NK: Floats, most: int) -> Codes:
    """The rows of `known` at the smallest Euclidean distance, in no particular order; all of them where there are
    fewer. In torch, whose selection of the smallest takes a tenth of numpy's time."""
    known, square_M = torch.from_numpy(known_MK), torch.from_numpy((known_MK**2).sum(axis=1))
    found = []
    for start in range(0, len(asked_NK), _BLOCK):
        asked = torch.from_numpy(asked_NK[start : start + _BLOCK])
        distance = torch.addmm(square_M, asked, known.T, alpha=-2)  # less |asked|², the same for all
        found.append(distance.topk(min(most, len(known)), dim=1, largest=False, sorted=False).indices)
    return np.asarray(torch.cat(found).numpy(), np.int64)


def _nearest(tree: cKDTree, position_NS: Floats, most: int) -> Codes:
    """The nearest cells of a tree, (N, K), nearest first; all of them where there are fewer."""
    count = min(most, tree.n)
    return np.asarray(tree.query(position_NS, count)[1], np.int64).reshape(len(position_NS), count)
