"""What a trained network and measured cells say of cells as if these were new: how to combine both, and how far off the
result may be.

Each cell is asked about as test cells will be: from the measured cells of other folds (`near_estimates`), which are
sections or blocks as the study holds them out. The network was trained on the training cells, and is less wrong on them
than on new ones, above all in what they express; so the weights of estimates of expression and the calibration are from
validation cells alone. These lie in sections that the network knows, so for weights of expression the other estimates
know them, too: where they had to do without, the network had more weight than it deserves in a new section. Weights of
places are from training and validation cells: the validation blocks alone are few places of a section. Whether these
are easier than the rest is told by closed-form estimates, which are no nearer to training cells of other folds than to
new ones (`difficulty_ratio`).

Source: Cochran, "Sampling techniques" (3rd edition, 1977), chapter 6, for the ratio estimator: what is measured on few
(the network's errors) is scaled by what is known of all (the errors of closed-form estimates).

M: cells, S: spatial dimensions, G: genes, K: estimates.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipeline.alphastomics.data.near_estimates import TrainingEstimates
from pipeline.alphastomics.data.sections import Section
from pipeline.alphastomics.data.standardised import expression_of
from pipeline.alphastomics.metrics.alignment import kabsch
from pipeline.alphastomics.model.calibration import Array, Calibration, place_features
from pipeline.alphastomics.model.combination import Combination, residual_products, residuals
from pipeline.alphastomics.model.measured_cells import COMBINED, Codes, Floats, MeasuredCells
from pipeline.alphastomics.model.spatial_sampler import Given, Mode, Sampling
from pipeline.alphastomics.model.tissue_inference import CALIBRATED_FOR, NearPlaces, TrainedTissue
from pipeline.data.cells import concatenate
from pipeline.training.determinism import Purpose, torch_generator

MOST_ASKED = 8_192  # training cells, and validation cells; of more, as many at random
NEIGHBOURHOOD = 1024  # cells asked about together, as in use
ESTIMATES = 4  # from different noise, whose mean is the network's estimate, as in use
_BLOCK = 1024  # cells whose residuals are multiplied at once


def fitted(
    trained: TrainedTissue,
    train: Sequence[Section],
    validation: Sequence[Section],
    of_training: TrainingEstimates | None,
    seed: int,
    whole_sections: bool = True,
) -> dict[str, Any]:
    """`calibration` of TrainedTissue, and where the model keeps measured cells `combination`, as plain JSON.

    trained.measured: training cells alone. of_training: None where the model shows no estimates. whole_sections: that
    these are held out, so that without a shared frame validation cells are placed and aligned with all of their
    section: a few blocks alone can be aligned better than a section.
    """
    if whole_sections and not trained.model.shared_frame:
        validation = [_with_all(section, train) for section in validation]
    found: dict[str, dict[str, Any]] = {"combination": {}, "calibration": {}}
    ratio = difficulty_ratio(trained, train, validation, of_training, seed) if of_training else 1.0
    for name in CALIBRATED_FOR:
        asked = list(_of_validation(trained, validation, of_training, seed))
        known = [one.placed(name == "typed") for one in asked]
        combination = None
        if of_training is not None:
            of_train = list(_of_training(trained, train, of_training, seed))
            both = [*known, *(one.placed(name == "typed") for one in of_train)]
            combination = Combination.fit(
                np.sum([answer.products().sum(axis=0) for answer in both], axis=0),
                np.sum([replace(one, trained=trained).expression_products(name == "typed") for one in asked], axis=0),
            )
            found["combination"][name] = combination.described()
        features, distances = zip(*(answer.errors(combination) for answer in known), strict=True)
        distance_M = ratio * np.concatenate(distances)
        found["calibration"][name] = Calibration.fit(np.concatenate(features), distance_M).described()
    return found


def difficulty_ratio(
    trained: TrainedTissue,
    train: Sequence[Section],
    validation: Sequence[Section],
    of_training: TrainingEstimates,
    seed: int,
) -> float:
    """How many times as far off closed-form estimates of places are for training cells as for validation cells: root
    mean square distances, all from measured cells of other folds. Validation cells of blocks take turns with the folds
    that are left out, so that both kinds rest on equally many cells."""
    folds = np.array(list(of_training.cross_fitted.without))

    def error(sections: Sequence[Section], fold_of: Callable[[Section], Codes]) -> float:
        total = sum(len(section.cells) for section in sections)
        squares = []
        for section in sections:
            rows = _some(np.arange(len(section.cells)), total, seed)
            x_MG = expression_of(section.cells, rows, trained.standard)
            near_MKS = of_training.cross_fitted.places(fold_of(section)[rows], x_MG)
            squares.append(((near_MKS - section.position_NS[rows][:, None]) ** 2).sum(axis=2).ravel())
        return float(np.sqrt(np.concatenate(squares).mean(dtype=np.float64)))

    def turns(section: Section) -> Codes:
        if of_training.by_sections and section.code in folds:
            return np.full(len(section.cells), section.code)
        return folds[np.arange(len(section.cells)) % len(folds)]

    of_validation = error(validation, turns)
    return error(train, lambda section: of_training.fold_of[section.code]) / of_validation if of_validation else 1.0


@dataclass(frozen=True)
class WholeSection(Section):
    """A section whose first cells are those of validation."""

    first: int


@dataclass(frozen=True)
class PlacesAsked:
    """Estimates of the places of some cells of a section, beside their true places."""

    network_MS: Floats
    near: NearPlaces
    true_MS: Floats
    validation_M: npt.NDArray[np.bool_] | None  # without a frame: which cells errors are taken of; others align them

    def products(self) -> Array:
        """Of residuals, (S, K, K), those of the frame's origin the last."""
        assert self.near.places_NKS is not None, "a model that keeps measured cells"
        origin_M1S = np.zeros_like(self.network_MS)[:, None]
        near_MKS = np.concatenate([self.near.places_NKS, origin_M1S], axis=1)
        return residual_products(residuals(self.network_MS, near_MKS, self.true_MS))

    def errors(self, combination: Combination | None) -> tuple[Array, Array]:
        """What the error of each place is expected to depend on (M, F), and how far off it is (M,): in the frame, or
        where none is shared, once the cells are aligned."""
        estimate_MS = self.network_MS
        if combination is not None and self.near.places_NKS is not None:
            estimate_MS = combination.place(estimate_MS, self.near.places_NKS)
        placed_MS: Array = np.asarray(estimate_MS, np.float64)
        features_MF = place_features(estimate_MS, *self.near)
        if self.validation_M is None:
            return features_MF, np.linalg.norm(placed_MS - self.true_MS, axis=1)
        placed_MS = kabsch(placed_MS, self.true_MS, reflection=True).apply(placed_MS)
        distance_M = np.linalg.norm(placed_MS - self.true_MS, axis=1)
        return features_MF[self.validation_M], distance_M[self.validation_M]


@dataclass(frozen=True)
class Asked:
    """Some cells of a section, and the model with the measured cells that they are estimated from."""

    trained: TrainedTissue
    section: Section
    rows: Codes
    seed: int

    def placed(self, typed: bool) -> PlacesAsked:
        """Their places; typed: with their cell types told."""
        given = self._given(typed, x_NG=expression_of(self.section.cells, self.rows, self.trained.standard))
        network_MS = self.trained.network_place(given, _sampling("expr_to_pos"), self._seeds(given))
        true_MS = self.section.position_NS[self.rows]
        if self.trained.model.shared_frame:
            return PlacesAsked(network_MS, self.trained.near_places(given), true_MS, None)
        asked = self.section.first if isinstance(self.section, WholeSection) else len(self.section.cells)
        return PlacesAsked(network_MS, NearPlaces(None, None), true_MS, self.rows < asked)

    def expression_products(self, typed: bool) -> Array:
        """Products of residuals of their expression, (G, K, K), less the mean residual of each gene and estimate: a
        gene's level in this section is nothing that weights should learn from."""
        given = self._given(typed, position_NS=self.section.position_NS[self.rows])
        network_MG = self.trained.network_expression(given, _sampling("pos_to_expr"), self._seeds(given))
        genes, estimates = network_MG.shape[1], 1 + len(COMBINED)
        products_GKK, sum_GK = np.zeros((genes, estimates, estimates)), np.zeros((genes, estimates))
        for start in range(0, len(given), _BLOCK):
            here = np.arange(start, min(start + _BLOCK, len(given)))
            near_BKG = self.trained.near_expression(given, torch.from_numpy(here).to(given.cell_type_N.device))
            true_BG = expression_of(self.section.cells, self.rows[here], self.trained.standard)
            residual_GKB = residuals(network_MG[here], near_BKG, true_BG)
            products_GKK += residual_products(residual_GKB)
            sum_GK += residual_GKB.sum(axis=2)
        centred_GKK: Array = products_GKK - sum_GK[:, :, None] * sum_GK[:, None, :] / len(given)
        return centred_GKK

    def _given(self, typed: bool, **known: Any) -> Given:
        cell_type_N = self.section.cells.cell_type[self.rows] if typed else None
        return self.trained.given(len(self.rows), cell_type_N=cell_type_N, **known)

    def _seeds(self, given: Given) -> list[torch.Generator]:
        device = given.cell_type_N.device
        place = (Purpose.PREDICTION, self.section.code)
        return [torch_generator(device, self.seed, *place, number) for number in range(ESTIMATES)]


def _with_all(section: Section, train: Sequence[Section]) -> Section:
    """Validation cells of a section, then its training cells, where there are any."""
    others = [other for other in train if other.code == section.code]
    return WholeSection(
        section.name,
        section.code,
        concatenate([section.cells, *(other.cells for other in others)]),
        np.concatenate([section.position_NS, *(other.position_NS for other in others)]),
        section.frame,
        len(section.cells),
    )


def _of_validation(
    trained: TrainedTissue, validation: Sequence[Section], of_training: TrainingEstimates | None, seed: int
) -> Iterator[Asked]:
    """From training cells, of other sections where sections are held out."""
    total = sum(len(section.cells) for section in validation)
    for section in validation:
        measured: MeasuredCells | None = trained.measured
        if of_training is not None and of_training.by_sections:
            measured = of_training.cross_fitted.without.get(section.code, measured)
        rows = _some(np.arange(len(section.cells)), total, seed)
        if len(rows) > 1:
            yield Asked(replace(trained, measured=measured), section, rows, seed)


def _of_training(
    trained: TrainedTissue, train: Sequence[Section], of_training: TrainingEstimates, seed: int
) -> Iterator[Asked]:
    """Each fold of each section from the other folds."""
    total = sum(len(section.cells) for section in train)
    for fold, measured in of_training.cross_fitted.without.items():
        for section in train:
            rows = _some(np.flatnonzero(of_training.fold_of[section.code] == fold), total, seed)
            if len(rows) > 1:
                yield Asked(replace(trained, measured=measured), section, rows, seed)


def _some(rows: Codes, total: int, seed: int) -> Codes:
    """The part of these rows that is asked about, of so many cells in all."""
    if total <= MOST_ASKED:
        return rows
    most = len(rows) * MOST_ASKED // total
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _sampling(mode: Mode) -> Sampling:
    return Sampling(mode, 1, neighbourhood=NEIGHBOURHOOD)
